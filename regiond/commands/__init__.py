"""The commands of `regiond`: accounts, backups, the database and upgrades."""
