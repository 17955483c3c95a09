"""The part of cloud-init data that makes the system on a copied disk another machine. Pure.

cloud-init itself writes a new host name, SSH host keys and the keys of the user, since the instance is a new one. It
leaves /etc/machine-id, which journald and the DHCP client of systemd-networkd identify a machine by. It is a new one
from before the network services of the second boot on; until then the clients of DHCP identify NICs by MAC address.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Once for each instance, before other services start. A random id, as systemd-machine-id-setup makes one: without
# systemd, and without those that it derives from what the copy has of its source.
_NEW_MACHINE_ID = """\
if [ -s /etc/machine-id ]; then
  tr -d - < /proc/sys/kernel/random/uuid > /etc/machine-id
  if [ -f /var/lib/dbus/machine-id ] && [ ! -L /var/lib/dbus/machine-id ]; then
    cat /etc/machine-id > /var/lib/dbus/machine-id
  fi
  systemctl try-restart systemd-journald || true
fi
"""
NEW_IDENTITY: Mapping[str, Any] = {
    "bootcmd": [["cloud-init-per", "instance", "innkeeper-machine-id", "sh", "-c", _NEW_MACHINE_ID]]
}
