"""Autostart in words, for pages. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from common.values import Autostart
from regiond.hosts.model import AS_ABOVE

AUTOSTART_WORDS: Mapping[str, str] = {
    Autostart.LAST_STATE.value: "runs if it ran before",
    Autostart.ALWAYS.value: "always runs",
    Autostart.NEVER.value: "stays off",
}
AUTOSTART_OPTIONS = ((AS_ABOVE, "default"), *AUTOSTART_WORDS.items())
