"""Between the engine's frozen values and wire messages."""
