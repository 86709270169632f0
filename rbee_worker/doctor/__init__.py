"""What the machine has to compute with, what is missing, and what to install."""
