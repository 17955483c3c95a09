"""The settings of a rack."""

from __future__ import annotations

from pathlib import Path

from attrs import frozen

from common.logging import LEVELS
from common.rpc.session import SILENCE_S
from common.settings import setting

CONFIG_FILE = Path("/etc/innkeeper/rackd.toml")


@frozen(kw_only=True)
class RackSettings:
    state: Path = setting(
        Path("/var/lib/innkeeper-rackd"),
        "The folder under which the rack keeps who it is; nothing else lasts in a rack.",
    )
    simulated_hosts: Path | None = setting(
        None, "The folder of the simulated hosts' files. Without it, this rack refuses simulated hosts."
    )
    link_silence_s: float = setting(
        SILENCE_S, "Seconds without a word after which the other end of a link counts as gone.", at_least=3, at_most=600
    )
    log_level: str = setting("info", "How much is logged.", choices=LEVELS)
    max_calls: int = setting(
        200, "How many calls to hypervisors may be under way at once; each takes a thread.", at_least=1, at_most=5000
    )
    hung_after: int = setting(
        3, "How many calls that never came back make a host count as hung.", at_least=1, at_most=100
    )

    @property
    def identity_folder(self) -> Path:
        """Beside a region's state when both have the same `state`."""
        return self.state / "rackd"
