"""systemctl and journalctl of a machine without systemd: starts services as their installed unit files say.

Each command reads the unit and its drop-ins anew. These settings count: Type, ExecStart, ExecReload, ExecStop, PIDFile,
User, Group, SupplementaryGroups, UMask, WorkingDirectory, Environment, EnvironmentFile, StateDirectory,
RuntimeDirectory, LoadCredential, LoadCredentialEncrypted, TimeoutStartSec, TimeoutStopSec, Requires, Wants, PartOf, and
of sockets Service, ListenStream, SocketMode and SocketGroup. The service of a socket starts at once, and again after it
has ended for lack of work.

Everything else is ignored: sandboxing (Protect…, Private…, Restrict…, SystemCallFilter, capabilities), limits, order,
conditions, restarts after failures, watchdogs, timers and targets.

These modules need nothing but Debian's Python: the machine has no other.
"""
