"""The process that renders a chat template: a stranger's program, alone, within limits."""
