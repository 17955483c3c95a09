"""Autostart in words, for pages. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from common.values import Autostart
from regiond.hosts.model import AS_ABOVE
from regiond.ui.texts import constant

AUTOSTART_WORDS: Mapping[str, str] = {
    Autostart.LAST_STATE.value: constant("runs if it ran before"),
    Autostart.ALWAYS.value: constant("always runs"),
    Autostart.NEVER.value: constant("stays off"),
}
AUTOSTART_OPTIONS = ((AS_ABOVE, "default"), *AUTOSTART_WORDS.items())
