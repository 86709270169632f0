"""Long work on files: in steps, with room, hashed and told."""
