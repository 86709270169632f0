"""Answers of a form that was asked for: JSON by a schema, a pattern, a choice, a grammar."""
