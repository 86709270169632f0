"""The model store of one hive."""
