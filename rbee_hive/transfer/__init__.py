"""Bytes from far away: resumed, checked, shared. Knows nothing of models."""
