"""The worker processes of one hive."""
