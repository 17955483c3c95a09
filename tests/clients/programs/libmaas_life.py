"""The life of a VM host and a machine by python-libmaas: libmaas_life.py URL API-KEY TYPE ADDRESS SECRET SERIES WAIT-S."""

# mypy: ignore-errors
# ruff: noqa
import json
import sys

from maas.client import connect

url, key, kind, address, secret, series, wait_s = sys.argv[1:]
client = connect(url, apikey=key)
found = {"user": client.users.whoami().username, "version": client.version.get().version}
pod = client.pods.create(type=kind, power_address=address, power_pass=secret or None, name="lib", tags="fast")
pod.refresh()
found["pod"] = [pod.name, pod.type, sorted(pod.tags), pod.total["cores"] > 1, pod.cpu_over_commit_ratio]
composed = pod.compose(cores=1, memory=1024, storage="root:8,data:1", hostname="libby")
machine = client.machines.get(composed["system_id"])
found["composed"] = [machine.hostname, machine.status.name, machine.cpus, machine.memory, machine.power_state.value]
found["disks"] = [disk.size for disk in machine.block_devices]
found["links"] = [[link.mode.name for link in nic.links] for nic in machine.interfaces]
tag = client.tags.create("lib-tag", comment="by libmaas")
machine.tags.add(tag)
machine.refresh()
found["tags"] = sorted(one.name for one in machine.tags)
machine.tags.remove(tag)
tag.delete()
allocated = client.machines.allocate(hostname="libby", cpus=1, memory=1024.0)
found["allocated"] = [allocated.status.name, allocated.owner.username]
allocated.owner_data.update({"rack": "7"}) if allocated.owner_data is not None else None
deployed = allocated.deploy(
    user_data=b"#cloud-config\n{}\n", distro_series=series, wait=True, wait_interval=float(wait_s)
)
found["deployed"] = [deployed.status.name, deployed.distro_series, deployed.power_state.value]
found["power"] = deployed.query_power_state().value
deployed.lock()
deployed.unlock()
deployed.release(comment="done", wait=True, wait_interval=float(wait_s))
found["released"] = client.machines.get(composed["system_id"]).status.name
found["lists"] = [
    len(kind.list() if hasattr(kind, "list") else kind.read())
    for kind in (client.fabrics, client.subnets, client.zones, client.spaces, client.domains, client.machines)
]
found["boot_resources"] = len(client.boot_resources.list())
found["vlans"] = sum(len(fabric.vlans) for fabric in client.fabrics.list())
client.machines.get(composed["system_id"]).delete()
pod.delete()
found["left"] = [one.hostname for one in client.machines.list() if one.hostname == "libby"]
found["left"] += [one.name for one in client.pods.list() if one.name == "lib"]
print(json.dumps(found))
