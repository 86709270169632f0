"""Text in and out: chat templates, tokens, what each token writes, stop strings."""
