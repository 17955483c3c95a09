"""Answers of the services of hosts and clusters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import evolve

from common.errors import NotFound
from common.values import Project
from common.words.operation_kinds import OperationKind
from regiond.hosts.model import ComposeTarget, HostView
from regiond.hosts.numa.numa_usage import NumaAllocation, numa_usage
from regiond.hosts.search.searches import HostSearch
from regiond.ledger.capacity_totals import fleet_capacity
from regiond.ledger.model import DiscreteResources
from regiond.requests.long_list import LongList
from tests.unit.answers.shared import named
from tests.unit.support.host_samples import CLUSTER, COUNTED, HOST, NODES, UNKNOWN_HOST, compose_target
from tests.unit.support.machine_samples import GUEST, OPERATION


def _host(host_id: int) -> HostView | NotFound:
    return {4: HOST, 5: UNKNOWN_HOST}.get(host_id) or NotFound("Not Found")


def _compose_target(host_id: int) -> ComposeTarget | NotFound:
    host = _host(host_id)
    return host if isinstance(host, NotFound) else compose_target(host)


ANSWERS: Mapping[str, Any] = {
    "hosts.long_list": LongList.of((HOST, UNKNOWN_HOST)),
    "hosts.read": _host,
    "hosts.compose_target": _compose_target,
    "hosts.of_system_ids": (),
    "hosts.capacity": fleet_capacity([COUNTED]),
    "hosts.capacities": {4: COUNTED.capacity},
    "hosts.ids_of": lambda texts: {one: frozenset({4} if one in {"hv-01", "4", "id:4"} else ()) for one in texts},
    "hosts.names": ("hv-01",),
    "hosts.search": HostSearch(hosts=(), found=(), names={}),
    "hosts.names_of": lambda ids: {4: "hv-01"} if 4 in ids else {},
    "hosts.create": HOST,
    "hosts.update": HOST,
    "hosts.start_refresh": OPERATION,
    "hosts.start_remove": OPERATION,
    "hosts.begin_maintenance": None,
    "hosts.end_maintenance": None,
    "hosts.check_removal": HOST,
    "hosts.removal_certificates": (),
    "hosts.parameters": {"power_address": "qemu:///system", "power_pass": ""},
    "hosts.add_tag": HOST,
    "hosts.remove_tag": HOST,
    "hosts.trust": HOST,
    "hosts.confirm_server": HOST,
    "hosts.start_rotate": evolve(OPERATION, kind=OperationKind.ROTATE),
    "hosts.known_before": (),
    "hosts.projects": (Project(name="default", guests=1, cores=2),),
    "hosts.numa": numa_usage(
        NODES,
        HOST.network_devices,
        (
            NumaAllocation(
                guest_id=17,
                is_machine=True,
                cores=2,
                general_mib=2048,
                discrete=DiscreteResources(pinned_core_ids=(2, 5), functions={"ens1f0": 1}),
            ),
            NumaAllocation(
                guest_id=18,
                is_machine=False,
                cores=1,
                discrete=DiscreteResources(pinned_core_ids=(3,), huge_pages={"0/1048576": 3}),
            ),
            NumaAllocation(guest_id=19, is_machine=True, cores=3, general_mib=9216),
            NumaAllocation(guest_id=20, is_machine=False, general_mib=512),
        ),
    ),
    "hosts.certificate": named({"hv-01": "-----BEGIN CERTIFICATE-----"}),
    "hosts.long_list_of_guests": lambda wanted: LongList.of((GUEST,) if wanted.name in (None, GUEST.name) else ()),
    "hosts.guest": lambda guest_id: GUEST if guest_id == 17 else NotFound("No VirtualMachine matches."),
    "clusters.list": (CLUSTER,),
    "clusters.read": lambda cluster_id: CLUSTER if cluster_id == 1 else NotFound("Not Found"),
    "clusters.update": CLUSTER,
    "clusters.start_remove": (OPERATION,),
}
