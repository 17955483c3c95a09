"""What python-libmaas does besides the life of a machine: libmaas_rest.py URL API-KEY. There is a simulated host."""

# mypy: ignore-errors
# ruff: noqa
import json
import sys

from maas.client import connect

url, key = sys.argv[1:]
client = connect(url, apikey=key)
found = {"static routes": len(client.static_routes.list())}
device = client.devices.create(["52:54:00:00:00:31"], hostname="printer", zone="default")
found["device"] = [device.hostname, device.owner.username, [one.hostname for one in client.devices.list()]]
print(json.dumps(found))
