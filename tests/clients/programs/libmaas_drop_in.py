"""Machines of both sides of a drop-in address by python-libmaas: libmaas_drop_in.py URL API-KEY KEPT METAL."""

# mypy: ignore-errors
# ruff: noqa
import json
import sys

from maas.client import connect

url, key, kept, metal = sys.argv[1:]
client = connect(url, apikey=key)
found = {"user": client.users.whoami().username, "pods": [pod.name for pod in client.pods.list()]}
(pod,) = client.pods.list()
composed = pod.compose(cores=1, memory=1024, storage="root:8", hostname="libby")
machine = client.machines.get(composed["system_id"])
found["composed"] = [machine.hostname, machine.status.name]
found["kept"] = client.machines.get(kept).hostname
found["metal"] = client.machines.get(metal).hostname
found["list"] = sorted(one.hostname for one in client.machines.list())
allocated = client.machines.allocate(pod="farm")
found["allocated"] = allocated.status.name
allocated.release(wait=True, wait_interval=0.1)
found["released"] = client.machines.get(allocated.system_id).status.name
taken = client.machines.allocate(hostname="metal")
states = [taken.status.name]
deployed = taken.deploy(distro_series="noble", wait=True, wait_interval=0.1)
states.append(deployed.status.name)
deployed.release(wait=True, wait_interval=0.1)
found["metal's life"] = [*states, client.machines.get(metal).status.name]
machine.delete()
print(json.dumps(found))
