"""A database that another one, or a backup, has replaced."""
