"""An inventory from the answers of a MAAS. Pure."""

from __future__ import annotations

from attrs import evolve

from common.maas.inventory import Inventory, Origin
from regiond.maas.source import networks
from regiond.maas.source.answers import Answers, number
from regiond.maas.source.hosts import hosts, storage_pools, with_clusters
from regiond.maas.source.installation import uuid_of
from regiond.maas.source.machines import Surroundings, left_out, machines
from regiond.maas.source.people import users
from regiond.maas.source.reserved import reserved


def inventory_of(answers: Answers, origin: Origin) -> Inventory:
    """Returns what the answers say. Raises Malformed."""
    known, clusters, unknown = with_clusters(hosts(answers), answers)
    surroundings = Surroundings(
        hosts={host.id: host for host in known},
        instances=answers.instances,
        vms={number(one, "id"): one for one in answers.vms},
        storage_pools=storage_pools(answers.hosts),
    )
    found = machines(answers.machines, surroundings)
    domains = networks.domains(answers.domains)
    return Inventory(
        origin=evolve(origin, uuid=uuid_of(known)),
        zones=networks.groups(answers.zones),
        pools=networks.groups(answers.pools),
        tags=networks.tags(answers.tags),
        spaces=networks.spaces(answers.spaces),
        fabrics=networks.fabrics(answers.fabrics),
        vlans=networks.vlans(answers.fabrics),
        subnets=networks.subnets(answers.subnets),
        ranges=networks.ranges(answers.ranges),
        domains=domains,
        dns_names=networks.dns_names(answers.dns_resources, domains),
        users=users(answers),
        clusters=clusters,
        hosts=known,
        machines=found,
        reserved_addresses=reserved(answers, found),
        left_out=(*unknown, *left_out(answers.machines, answers.vms)),
    )
