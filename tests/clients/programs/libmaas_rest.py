"""What python-libmaas does besides the life of a machine: libmaas_rest.py URL API-KEY. There is the machine libby."""

# mypy: ignore-errors
# ruff: noqa
import json
import sys

from maas.client import connect
from maas.client.enum import LinkMode

url, key = sys.argv[1:]
client = connect(url, apikey=key)
found = {"static routes": len(client.static_routes.list())}
device = client.devices.create(["52:54:00:00:00:31"], hostname="printer", zone="default")
found["device"] = [device.hostname, device.owner.username, [one.hostname for one in client.devices.list()]]
nic = client.machines.get("libby").interfaces[0]
subnet = nic.links[0].subnet.id
links = [nic.links.create(LinkMode.AUTO, subnet=subnet, force=True) for _ in range(2)]
found["links"] = [links[0].id != links[1].id, [link.mode.name for link in nic.links]]
links[1].delete()
print(json.dumps(found))
