"""Choosing tokens: from logits and what a request asks for to the next token of each row."""
