"""What outlives the queen: jobs and their stories, in one SQLite file."""
