"""Blocks TCP ports for some processes, so that one rack reaches fewer hosts than another."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from zlib import crc32

from tests.lab.servers.needs import LAB_DIR

_GROUP = 62000 + crc32(str(LAB_DIR).encode()) % 1000  # unused by others; each lab has its own
_TABLE = f"iklab{_GROUP}"
BEHIND_IT = ("setpriv", "--regid", str(_GROUP), "--keep-groups")  # put before a command that the firewall applies to

_RULES = """
table inet {table} {{
  chain out {{
    type filter hook output priority 0; policy accept;
    meta skgid {group} tcp dport {port} reject with tcp reset
  }}
}}
"""


@contextmanager
def wall(port: int) -> Iterator[None]:
    """Rejects connections of commands after BEHIND_IT to this TCP port, existing ones too."""
    _nft(_RULES.format(table=_TABLE, group=_GROUP, port=port))
    try:
        yield
    finally:
        _nft(f"delete table inet {_TABLE}")


def _nft(rules: str) -> None:
    subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True, capture_output=True, timeout=60)
