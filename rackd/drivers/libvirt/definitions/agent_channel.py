"""The channel through which libvirt talks to the QEMU guest agent. Pure."""

from __future__ import annotations

from rackd.drivers.libvirt.xml import Element

AGENT_CHANNEL = "org.qemu.guest_agent.0"


def has_connected_agent(domain: Element) -> bool:
    """Returns whether an agent has opened the channel, by the XML of a running domain."""
    channels = domain.iterfind(f"devices/channel/target[@name='{AGENT_CHANNEL}']")
    return any(target.get("state") == "connected" for target in channels)
