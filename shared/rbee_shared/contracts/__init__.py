"""The things we decide about, as frozen values."""
