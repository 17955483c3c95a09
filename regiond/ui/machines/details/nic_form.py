"""The form of a VM's NIC: its values, and what is sent for what was changed. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from regiond.machines.values.nics import LinkMode, NicView
from regiond.ui.machines.details.notes_form import names_in
from regiond.ui.texts import constant

MODES = (
    (LinkMode.AUTO.value, constant("An address that Innkeeper chooses")),
    (LinkMode.STATIC.value, constant("An address that you choose")),
    (LinkMode.DHCP.value, "DHCP"),
    (LinkMode.LINK_UP.value, constant("No address")),
)
MODE, SUBNET, ADDRESS, GATEWAY, NAME, TAGS = "mode", "subnet", "ip_address", "default_gateway", "name", "tags"
_LINK = (MODE, SUBNET, ADDRESS)
_MODE_OF = {
    "auto": LinkMode.AUTO,
    "static": LinkMode.STATIC,
    "dhcp": LinkMode.DHCP,
    "unconfigured": LinkMode.LINK_UP,
}


def values_of(nic: NicView) -> dict[str, str]:
    """An address that Innkeeper chose is shown on the page, and is not in the form: another link gets another one."""
    return {
        NAME: nic.name,
        TAGS: ", ".join(nic.tags),
        MODE: _MODE_OF[nic.mode].value,
        SUBNET: str(nic.subnet.cidr) if nic.subnet else "",
        ADDRESS: str(nic.ip_address) if nic.ip_address and nic.mode == "static" else "",
        GATEWAY: "true" if nic.gateway_versions else "",
    }


def ends_link(link: Mapping[str, str]) -> bool:
    """Returns whether these fields of a link are those of none."""
    return link.get(MODE) == LinkMode.LINK_UP and SUBNET not in link


def link_fields(values: Mapping[str, str], changes: Mapping[str, str]) -> dict[str, str] | None:
    """Returns the fields of a new link; None if the link stays. `values` are those of the whole form.

    The address of a link that was static is left out if only the mode changed.
    """
    if not any(name in changes for name in _LINK):
        return None
    mode = values[MODE]
    address = values[ADDRESS] if mode == LinkMode.STATIC or ADDRESS in changes else ""
    subnet = "" if mode == LinkMode.LINK_UP and SUBNET not in changes else values[SUBNET]
    sent = {MODE: mode, SUBNET: subnet, ADDRESS: address, GATEWAY: values[GATEWAY], "force": "true"}
    return {name: text for name, text in sent.items() if text}


def property_fields(values: Mapping[str, str], changes: Mapping[str, str]) -> dict[str, str]:
    """Returns the fields of the update of name and tags; empty if neither changed."""
    fields = {NAME: values[NAME]} if NAME in changes else {}
    return {**fields, TAGS: ",".join(names_in(values[TAGS]))} if TAGS in changes else fields
