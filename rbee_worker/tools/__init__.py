"""Tools that a model may call: offering them, asking for a call, and finding calls in an answer."""
