"""Makes the calls of an import: a few at a time, machines in batches, and only with GET.

How many objects each list may have is decided here, before anything is done for each of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from common.errors import MaasRefused, ResponseRejected
from regiond.maas.client import CALLS_AT_ONCE, MaasClient, Pairs
from regiond.maas.source import completeness
from regiond.maas.source.answers import Answers, InstanceName, Malformed, Row, Rows, number, row, rows, text
from regiond.maas.source.kept_fields import ADDRESS, MACHINE, kept

T = TypeVar("T")

BATCH = 50  # machines of a call: 10 to 20 kB each
MAX_MACHINES = 100_000
MAX_ADDRESSES = 500_000  # of all subnets
# Objects of a list. For each host and each subnet there is a call.
MOST: Mapping[str, int] = {
    "vm-hosts/": 2000, "pods/": 2000, "vm-clusters/": 1000, "virtual-machines/": 2 * MAX_MACHINES, "users/": 10_000,
    "account/": 1000, "account/prefs/sshkeys/": 1000, "zones/": 5000, "resourcepools/": 5000, "tags/": 10_000,
    "spaces/": 5000, "fabrics/": 5000, "subnets/": 5000, "ipranges/": 50_000, "domains/": 5000,
    "dnsresources/": MAX_MACHINES, "reservedips/": MAX_MACHINES, "machines/": BATCH,
}  # fmt: skip
_MISSING = 404
_VM_NAMES = ("instance_name", "power_id")  # of LXD, and of libvirt


async def version_of(client: MaasClient) -> str:
    """Returns the version. The key is not sent: the address may be that of another server. Raises MaasRefused."""
    where = client.access.label
    answer = await client.get("version/", signed=False)
    if not isinstance(answer, dict) or not isinstance(answer.get("capabilities"), list):
        raise MaasRefused(
            f"There is no MAAS at this address: {where} answered GET version/ with other JSON than MAAS's.",
            status=200,
            reason="not_maas",
        )
    version = text(row(answer, "version/"), "version")
    completeness.check_version(version, where)
    return version


async def name_of_installation(client: MaasClient) -> str:
    found = await client.get("maas/", op="get_config", query=[("name", "maas_name")])
    return found if isinstance(found, str) else ""


async def whoami(client: MaasClient) -> Row:
    """Returns the user of the API key. Raises MaasRefused if MAAS does not accept the key."""
    return row(await client.get("users/", op="whoami"), "users/?op=whoami")


async def answers_of(client: MaasClient, user: Row, version: str) -> Answers:
    """Returns the answers to all calls, complete. Raises MaasRefused if MAAS hides objects from this key."""
    hosts, prefix = await _hosts(client, version)
    vms, clusters = await _together(_optional(client, "virtual-machines/"), _optional(client, "vm-clusters/"))
    lists = (
        *("users/", "zones/", "resourcepools/", "tags/", "spaces/", "fabrics/", "subnets/", "ipranges/"),
        *("domains/", "dnsresources/", "account/prefs/sshkeys/"),
    )
    tokens, parameters, instances, *others = await _together(
        _list(client, "account/", op="list_authorisation_tokens"),
        _parameters(client, hosts, prefix),
        _instances(client),
        *(_list(client, path) for path in lists),
    )
    found: dict[str, Rows] = dict(zip(lists, others, strict=True))
    reserved_ips, addresses, machines = await _together(
        _optional(client, "reservedips/"),
        _addresses(client, found["subnets/"]),
        _machines(client, instances),
    )
    if vms is not None:
        vms = await _checked_vms(client, vms, machines)
    if (counts := completeness.hosts_of_clusters(clusters or (), parameters.values())) is not None:
        raise completeness.refuse_hosts(*counts, client.access.label)
    hidden = completeness.machines_without_host(hosts, machines)
    if hidden:
        raise completeness.refuse(hidden, len(machines), "machines with their VM hosts", client.access.label)
    return Answers(
        user=user,
        tokens=tokens,
        ssh_keys=found["account/prefs/sshkeys/"],
        users=found["users/"],
        zones=found["zones/"],
        pools=found["resourcepools/"],
        tags=found["tags/"],
        spaces=found["spaces/"],
        fabrics=found["fabrics/"],
        subnets=found["subnets/"],
        ranges=found["ipranges/"],
        addresses=addresses,
        reserved_ips=reserved_ips or (),
        domains=found["domains/"],
        dns_resources=found["dnsresources/"],
        hosts=hosts,
        parameters=parameters,
        clusters=clusters or (),
        vms=vms or (),
        instances=instances,
        machines=machines,
    )


async def _hosts(client: MaasClient, version: str) -> tuple[Rows, str]:
    """Returns the VM hosts and the path that they have: the older name only if MAAS does not know the newer one."""
    for path in ("vm-hosts/", "pods/"):
        found = await _optional(client, path)
        if found is not None:
            return found, path
    raise completeness.no_vm_hosts(version, client.access.label)


async def _parameters(client: MaasClient, hosts: Rows, prefix: str) -> Mapping[int, Row]:
    ids = [number(one, "id") for one in hosts]
    paths = [f"{prefix}{one}/" for one in ids]
    found = await _each(paths, lambda path: client.get(path, op="parameters"))
    return {one: row(value, path) for one, value, path in zip(ids, found, paths, strict=True)}


async def _instances(client: MaasClient, ids: Iterable[str] = ()) -> Mapping[str, InstanceName]:
    """Returns the machines that are VMs, of all or of some.

    It is the one list of all ids without whole objects. It has the passwords of BMCs, too: none is kept.
    """
    query: Pairs = [("id", one) for one in ids]
    found = row(await client.get("machines/", op="power_parameters", query=query), "machines/?op=power_parameters")
    named = ((system_id, row(value or {}, system_id)) for system_id, value in found.items())
    instances = {
        system_id: InstanceName(name=name, project=text(one, "project"))
        for system_id, one in named
        if (name := next((text(one, key) for key in _VM_NAMES if one.get(key)), ""))
    }
    if len(instances) > MAX_MACHINES:
        raise ResponseRejected(f"{client.access.label} has {len(instances)} VMs; an import takes {MAX_MACHINES}.")
    return instances


async def _addresses(client: MaasClient, subnets: Rows) -> Mapping[str, Rows]:
    """Returns the addresses of each subnet, with the names of those who have them: the short form of `ipaddresses/`."""
    total = 0

    async def of(subnet: Row) -> Rows:
        nonlocal total
        path = f"subnets/{text(subnet, 'id')}/"
        found = await _list(client, path, op="ip_addresses", most=MAX_ADDRESSES)
        total += len(found)
        if total > MAX_ADDRESSES:
            raise Malformed(f"the subnets have {total} addresses, and an import takes at most {MAX_ADDRESSES}")
        return tuple(kept(one, ADDRESS) for one in found)

    found = await _each(subnets, of)
    return {text(one, "cidr"): addresses for one, addresses in zip(subnets, found, strict=True)}


async def _machines(client: MaasClient, instances: Mapping[str, InstanceName]) -> Rows:
    """Raises MaasRefused if some of these machines exist and are not shown."""
    ids = sorted(instances)
    batches = [ids[at : at + BATCH] for at in range(0, len(ids), BATCH)]

    async def of(some: Sequence[str]) -> Rows:
        found = await _list(client, "machines/", query=[("id", one) for one in some])
        return tuple(kept(one, MACHINE) for one in found)

    found = await _each(batches, of)
    machines = tuple(one for some in found for one in some)
    unseen = completeness.unseen(ids, machines)
    if unseen:
        unseen &= (await _instances(client, sorted(unseen))).keys()  # not those that were deleted meanwhile
    if unseen:
        raise completeness.refuse(unseen, len(ids), "machines", client.access.label)
    return machines


async def _checked_vms(client: MaasClient, vms: Rows, machines: Rows) -> Rows:
    """Returns the VMs, read again if some were composed or deleted meanwhile. Raises MaasRefused if they do not fit."""
    if not completeness.vms_without_machine(vms, machines) and not completeness.machines_without_vm(vms, machines):
        return vms
    again = await _list(client, "virtual-machines/")
    where = client.access.label
    if hidden := completeness.vms_without_machine(again, machines):
        raise completeness.refuse(hidden, len(again), "VMs with their machines", where)
    if hidden := completeness.machines_without_vm(again, machines):
        raise completeness.refuse(hidden, len(machines), "machines with their VMs", where)
    return again


async def _list(
    client: MaasClient, path: str, *, op: str | None = None, query: Pairs = (), most: int | None = None
) -> Rows:
    """Raises Malformed for more than `most` objects; without it, those of MOST."""
    return rows(await client.get(path, op=op, query=query), path, MOST[path] if most is None else most)


async def _optional(client: MaasClient, path: str) -> Rows | None:
    """Returns None if this release does not have the list."""
    try:
        return await _list(client, path)
    except MaasRefused as error:
        if error.details.get("status") == _MISSING:
            return None
        raise


async def _each(items: Sequence[T], call: Callable[[T], Awaitable[Any]]) -> list[Any]:
    """Returns the results in this order. There are as many tasks as calls may run at once, however many items."""
    waiting, found = iter(range(len(items))), [None] * len(items)

    async def work() -> None:
        for place in waiting:
            found[place] = await call(items[place])

    await _together(*(work() for _ in range(min(CALLS_AT_ONCE, len(items)))))
    return found


async def _together(*calls: Coroutine[Any, Any, Any]) -> list[Any]:
    """Returns their results in this order. The first that fails cancels the others; its error is raised."""
    tasks = [asyncio.create_task(call) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
