"""A simulated hypervisor that answers no call for a while, so that a test finds it in the middle of its work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rackd.drivers.simulated.pace import Call


@contextmanager
def hold(folder: Path, host: str, *calls: Call) -> Iterator[None]:
    """The host whose file is in `folder` answers none of these calls, or none at all, for as long as this lasts."""
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / f"{host}.hold.new"
    made.write_text("\n".join(calls))
    held = made.rename(folder / f"{host}.hold")
    try:
        yield
    finally:
        held.unlink()
