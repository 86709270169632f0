"""The engine: many requests at once on one model, in one thread that alone touches it."""
