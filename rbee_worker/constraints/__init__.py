"""What an answer must look like, held to while it is made."""
