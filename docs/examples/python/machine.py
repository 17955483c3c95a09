"""Composes a machine, tags it, switches it on, and deletes it again."""

import os

from maas.client import connect

client = connect("http://127.0.0.1:5240/MAAS/", apikey=os.environ["INNKEEPER_KEY"])
(host,) = [pod for pod in client.pods.list() if pod.name == "farm-python"]
composed = host.compose(cores=1, memory=1024, storage="root:8", hostname="python-web")
machine = client.machines.get(composed["system_id"])
print(machine.hostname, machine.status.name)

tag = client.tags.create("python-web")
machine.tags.add(tag)
machine.power_on(wait=True, wait_interval=1)
print(machine.hostname, machine.power_state.value, [disk.size for disk in machine.block_devices])

machine.delete()
tag.delete()
