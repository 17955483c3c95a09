"""Words that readers of all sources share: spelling of MAC addresses, reasons why a VM is left out. Pure."""

from __future__ import annotations

import re

_SEPARATED = re.compile(r"[0-9a-fA-F]{1,2}(?:[:-][0-9a-fA-F]{1,2}){5}")
_BARE = re.compile(r"[0-9a-fA-F]{12}|[0-9a-fA-F]{4}\.[0-9a-fA-F]{4}\.[0-9a-fA-F]{4}")


def normalised_mac(text: str) -> str:
    """The address as `aa:bb:cc:dd:ee:ff`; older releases kept it as it was typed. What is no such address stays."""
    text = text.strip()
    if _SEPARATED.fullmatch(text):
        return ":".join(part.zfill(2) for part in re.split("[:-]", text.lower()))
    if _BARE.fullmatch(text):
        digits = text.lower().replace(".", "")
        return ":".join(digits[place : place + 2] for place in range(0, 12, 2))
    return text.lower()


def ordinary_machine(power_type: str) -> str:
    return (
        f"It was added to MAAS as an ordinary machine with the power type {power_type}, and belongs to no VM host. If "
        "its host is imported, it appears there as a VM to adopt."
    )


def unmanaged(project: str) -> str:
    return (
        f"MAAS saw it in the project {project or '(none)'} and had no machine for it. It appears on its host as a VM "
        "to adopt if that project is imported."
    )
