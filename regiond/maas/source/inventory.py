"""An inventory from the answers of a MAAS. Pure."""

from __future__ import annotations

from common.maas.inventory import Inventory, Origin
from regiond.maas.source import networks
from regiond.maas.source.answers import Answers, number
from regiond.maas.source.hosts import hosts, storage_pools, with_clusters
from regiond.maas.source.machines import Surroundings, machines, without_host
from regiond.maas.source.people import users


def inventory_of(answers: Answers, origin: Origin) -> Inventory:
    """Returns what the answers say. Raises Malformed."""
    known, clusters, left_out = with_clusters(hosts(answers), answers)
    surroundings = Surroundings(
        instances=answers.instances,
        vms={number(one, "id"): one for one in answers.vms},
        storage_pools=storage_pools(answers.hosts),
    )
    domains = networks.domains(answers.domains)
    return Inventory(
        origin=origin,
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
        machines=machines(answers.machines, surroundings),
        left_out=(*left_out, *without_host(answers.machines)),
    )
