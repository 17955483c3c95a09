"""Public functions on backups.

Functions that take `db` join the caller's transaction.
"""

from regiond.backup.forward_store import (
    forget_migration,
    forget_processes_and_logins,
    lock_schema,
    move_sequences,
    record_migrations,
    set_exports,
    set_images,
)
from regiond.backup.restoring import check_empty, check_file, check_known, load, write_file
from regiond.backup.store import record_backup
from regiond.backup.writing import Source, check_key, verify, write_backup

__all__ = [
    "Source",
    "check_empty",
    "check_file",
    "check_key",
    "check_known",
    "forget_migration",
    "forget_processes_and_logins",
    "load",
    "lock_schema",
    "move_sequences",
    "record_backup",
    "record_migrations",
    "set_exports",
    "set_images",
    "verify",
    "write_backup",
    "write_file",
]
