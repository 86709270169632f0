"""Telling people what is happening."""
