"""Where models come from: what a source lists, which of it is taken, and how it is asked."""
