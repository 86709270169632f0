"""One model in one process on one device."""
