"""How models are named: read once, the same on every machine."""
