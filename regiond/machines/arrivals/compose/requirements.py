"""Stage 1, validate: checks a compose request, resolves its names, reports all problems by field."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache

from attrs import evolve

from common.errors import InvalidRequest
from common.guests.compose_request import ComposeRequest
from regiond.db.pool import Database
from regiond.groups.service import Groups
from regiond.hosts.service import Hosts
from regiond.machines.arrivals.compose import store
from regiond.machines.arrivals.compose.host_constraints import operated_pool, resolve_host_filter
from regiond.machines.arrivals.compose.maximum_size import maximum_problems
from regiond.machines.arrivals.compose.model import CopyPlan, MaasRegistrations, ValidatedCompose
from regiond.machines.core.wanted_nics import resolve_nics
from regiond.machines.values.requests import LARGEST, MIN_MEMORY_MIB, NO_HOST_CONSTRAINTS, ComposeIntent
from regiond.placement.affinity import parse_rules
from regiond.placement.interface_parser import parse_interfaces
from regiond.placement.requirements import ANY_HOST, NicRequirement, PinRequirement, Requirements, Strategy
from regiond.placement.storage_parser import parse_storage
from regiond.requests.caller import Caller
from regiond.requests.identifiers import check_hostname
from regiond.requests.validation_messages import outside

MAX_PINS = 4096


class Validator:
    """Validates compose requests against zones, pools, hosts and networks. Only reads."""

    def __init__(
        self,
        database: Database,
        hosts: Hosts,
        groups: Groups,
        *,
        strategy: Strategy,
        registrations: MaasRegistrations | None = None,
    ) -> None:
        """Without `registrations`, requests name no MAAS server."""
        self._database = database
        self._hosts = hosts
        self._groups = groups
        self._strategy: Strategy = strategy
        self._registrations = registrations

    async def validate(
        self,
        intent: ComposeIntent,
        *,
        caller: Caller | None,
        machine_id: int | None = None,
        copy: CopyPlan | None = None,
    ) -> ValidatedCompose:
        """Returns the resolved requirements. Raises InvalidRequest with every problem, by field.

        Raises NotFound or NotAllowed for hosts and pools that the caller may not use; no caller: they were checked
        before. `machine_id` is a machine that is composed again on another host: it already has its zone and host name,
        and may have its addresses. `copy` has the disks and NICs of its template.
        """
        request, problems = intent.request, dict[str, list[str]]()
        requirements, syntax_problems = _parse(request)
        problems |= syntax_problems
        if copy is not None:
            requirements = evolve(
                requirements, disks=copy.disks, nics=requirements.nics if copy.nics is None else copy.nics
            )  # fmt: skip
        zone_id, hostname, pool, hosts = None, None, None, ANY_HOST
        if machine_id is None:
            with collecting(problems):
                zone_id = None if request.zone is None else await self._groups.requested_zone_id(request.zone)
            with collecting(problems):
                hostname = await self._free_hostname(request.hostname)
            if request.register_in_maas is not None and self._registrations is not None:
                unknown = await self._registrations.problems(request.register_in_maas)
                problems |= {"register_in_maas": [*unknown]} if unknown else {}
        with collecting(problems):
            pool = None if request.pool is None else await operated_pool(caller, self._groups, request.pool)
        with collecting(problems):
            if intent.hosts != NO_HOST_CONSTRAINTS:
                hosts = await resolve_host_filter(intent.hosts, self._hosts, self._groups, caller=caller)
        nics = requirements.nics
        with collecting(problems):
            nics = await self._resolve_nics(nics, machine_id, caller)
        if problems:
            raise InvalidRequest.of(problems)
        if intent.pool_ids is not None:
            hosts = evolve(hosts, within_pool_ids=frozenset(intent.pool_ids))
        return ValidatedCompose(
            intent=intent,
            requirements=evolve(requirements, nics=nics, hosts=hosts, cpu_speed_mhz=intent.hosts.cpu_speed_mhz),
            strategy=self._strategy if pool is None else pool.strategy or self._strategy,
            hostname=hostname,
            zone_id=zone_id,
            pool_id=None if pool is None else pool.id,
            copy=copy,
        )

    async def _free_hostname(self, hostname: str | None) -> str | None:
        if hostname is None:
            return None
        await self.check_hostnames([hostname])
        return check_hostname(hostname)

    async def check_hostnames(self, hostnames: Sequence[str]) -> None:
        """Raises InvalidRequest under `hostname` for the first that is invalid or taken."""
        checked = [check_hostname(one) for one in hostnames]
        if not checked:
            return
        async with self._database.connection() as db:
            taken = set(await store.taken_hostnames(db, checked))
        for one in checked:
            if one in taken:
                raise hostname_taken(one)

    async def _resolve_nics(
        self, nics: tuple[NicRequirement, ...], machine_id: int | None, caller: Caller | None
    ) -> tuple[NicRequirement, ...]:
        if not nics:
            return nics
        async with self._database.connection() as db:
            return await resolve_nics(db, nics, caller=caller, machine_id=machine_id)


def syntax_problems(request: ComposeRequest) -> Mapping[str, list[str]]:
    """Returns the problems by field that do not depend on the region's hosts and networks."""
    return _parse(request)[1]


def hostname_taken(hostname: str) -> InvalidRequest:
    return InvalidRequest.of({"hostname": [f'Node with hostname "{hostname}" already exists']})


@contextmanager
def collecting(problems: dict[str, list[str]]) -> Iterator[None]:
    """Adds the fields of an InvalidRequest to `problems` instead of raising it; the first problem of a field counts."""
    try:
        yield
    except InvalidRequest as error:
        if not error.fields:
            raise
        for name, messages in error.fields.items():
            problems.setdefault(name, list(messages))


@lru_cache(maxsize=1000)  # pure, and most requests are for one of a few sizes
def _parse(request: ComposeRequest) -> tuple[Requirements, Mapping[str, list[str]]]:
    """Returns the requirements with names as given, and the problems by field. Invalid fields have default values."""
    problems = {
        **_out_of_range(request), **_pin_problems(request), **_huge_page_problems(request), **_maas_problems(request),
        **maximum_problems(request, is_pinned=_is_pinned(request)),
    }  # fmt: skip
    if request.one_numa_node and not (_is_pinned(request) or request.huge_pages_backed):
        problems["one_numa_node"] = ["This requires pinned_cores, pin_cores or hugepages_backed."]
    disks, nics = parse_storage(""), tuple[NicRequirement, ...]()
    with collecting(problems):
        disks = parse_storage(request.storage)
    with collecting(problems):
        nics = _parse_nics(request.interfaces)
    groups = parse_rules((), ())
    with collecting(problems):
        groups = parse_rules(request.affinity, request.anti_affinity)
    size_mib = request.huge_page_size_mib
    requirements = Requirements(
        cores=max(1, request.pin_cores or len(request.pinned_cores) or request.cores),
        memory_mib=max(1, request.memory_mib),
        disks=disks,
        architecture=request.architecture,
        host_id=request.host_id,
        nics=nics,
        pins=PinRequirement(core_ids=request.pinned_cores, count=request.pin_cores) if _is_pinned(request) else None,
        huge_pages=request.huge_pages_backed,
        huge_page_size_kib=None if size_mib is None else size_mib * 1024,
        one_numa_node=request.one_numa_node,
        uefi=request.uefi,
        secure_boot=request.secure_boot,
        tpm=request.tpm,
        groups=groups,
        max_cores=request.max_cores,
        max_memory_mib=request.max_memory_mib,
    )
    return requirements, problems


def _maas_problems(request: ComposeRequest) -> dict[str, list[str]]:
    if request.register_in_maas is None:
        return {}
    if request.power_on:
        return {"power_on": ["MAAS starts the machines that are registered in it: leave this out."]}
    if request.secure_boot:
        return {"secure_boot": ["MAAS starts machines from its network, with systems for which this has to be off."]}
    return {}


def _parse_nics(text: str) -> tuple[NicRequirement, ...]:
    nics = parse_interfaces(text)
    repeated = sorted(ip for ip, times in Counter(nic.ip for nic in nics if nic.ip is not None).items() if times > 1)
    if repeated:
        raise InvalidRequest.of({"interfaces": [f"More than one NIC requests the address {', '.join(repeated)}."]})
    return nics


def _is_pinned(request: ComposeRequest) -> bool:
    return bool(request.pinned_cores) or request.pin_cores is not None


def _out_of_range(request: ComposeRequest) -> dict[str, list[str]]:
    ranges = {
        "cores": (request.cores, 1),
        "memory": (request.memory_mib, MIN_MEMORY_MIB),
        "pin_cores": (request.pin_cores, 1),
        "hugepage_size": (request.huge_page_size_mib, 1),
    }
    if request.template is not None:  # 0: as that
        ranges = {name: (value or None, least) for name, (value, least) in ranges.items()}
    problems = {name: _outside(value, least) for name, (value, least) in ranges.items() if value is not None}
    return {name: [problem] for name, problem in problems.items() if problem is not None}


def _outside(value: int, least: int) -> str | None:
    return None if least <= value <= LARGEST else outside(value, least, LARGEST)


def _pin_problems(request: ComposeRequest) -> dict[str, list[str]]:
    if request.pinned_cores and request.pin_cores is not None:
        return {"pin_cores": ["Use either pinned_cores (core ids) or pin_cores (a number), not both."]}
    if len(request.pinned_cores) > MAX_PINS:
        return {"pinned_cores": [f"{len(request.pinned_cores)} cores requested; the limit is {MAX_PINS}."]}
    outside = [problem for core_id in request.pinned_cores for problem in [_outside(core_id, 0)] if problem is not None]
    if outside:
        return {"pinned_cores": outside[:1]}
    repeated = sorted(core_id for core_id, times in Counter(request.pinned_cores).items() if times > 1)
    if repeated:
        return {"pinned_cores": [f"Core {', '.join(map(str, repeated))} is given more than once."]}
    return {}


def _huge_page_problems(request: ComposeRequest) -> dict[str, list[str]]:
    size_mib = request.huge_page_size_mib
    if size_mib is None or size_mib < 1:
        return {}
    if not request.huge_pages_backed:
        return {"hugepage_size": ["This requires hugepages_backed."]}
    if request.memory_mib % size_mib:
        return {"hugepage_size": [f"{request.memory_mib} MiB of memory is not a multiple of {size_mib} MiB."]}
    return {}
