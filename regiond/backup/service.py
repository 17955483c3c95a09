"""Public functions on backups."""

from regiond.backup.writing import Source, verify, write_backup

__all__ = ["Source", "verify", "write_backup"]
