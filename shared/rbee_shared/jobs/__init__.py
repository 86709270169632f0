"""Operations being done, and the story each one tells."""
