"""SQL for the further filters of machine lists, and of searches."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import asdict, evolve

from regiond.db.pool import Db
from regiond.machines.values.criteria import MachineCriteria
from regiond.machines.values.search import MachineFilter
from regiond.networks.interface_store import HAS_OWN_VLAN

# The measurement of a machine `m` at its limit, on its host `h`.
AT_LIMIT = """from machine_usage u
         where u.machine_id = m.id and m.power_state = 'on' and h.state = 'ready'
           and u.limit_since < now() - interval '10 minutes' and u.measured_at > now() - interval '2 hours'"""
_NIC = f"""exists (
           select from machine_nic n
             left join subnet s on s.id = n.subnet_id
             left join host_interface i on i.id = n.interface_id
             left join vlan v on v.id = coalesce(s.vlan_id, case when not {HAS_OWN_VLAN} then i.vlan_id end, n.vlan_id)
             left join fabric f on f.id = v.fabric_id
            where n.machine_id = m.id and """
_DEPLOYED = "exists (select from deployment d where d.machine_id = m.id and "
# Conditions by the fields of Traits; {} is the array of values.
_CONDITIONS: Mapping[str, str] = {
    "system_ids": "m.system_id = any({})",
    "hostnames": "m.hostname = any({})",
    "mac_addresses": _NIC + "n.mac_address = any({}))",
    "agent_names": "m.agent_name = any({})",
    "owners": "m.owner_id in (select id from account where username = any({}))",
    "zones": "m.zone_id in (select id from zone where name = any({}))",
    "pools": "m.pool_id in (select id from resource_pool where name = any({}))",
    "hosts": "m.host_id in (select id from vm_host where name = any({}))",
    "parents": "m.host_id in (select id from vm_host where system_id = any({}))",
    "drivers": "m.host_id in (select id from vm_host where driver = any({}))",
    "architectures": "m.architecture = any({})",
    "fabrics": _NIC + "f.id::text = any({}))",
    "fabric_classes": _NIC + "f.class_type = any({}))",
    "vlans": _NIC + "v.id::text = any({}))",
    "subnets": _NIC + "s.id::text = any({}))",
    "states": "m.state = any({})",
    "power_states": "m.power_state = any({})",
    "osystems": _DEPLOYED + "d.osystem = any({}))",
    "distro_series": _DEPLOYED + "d.distro_series = any({}))",
}
_FIRST = 5  # the number of the first parameter of the conditions


def _condition(number: int, name: str) -> str:
    wanted, excluded = f"${2 * number + _FIRST}::text[]", f"${2 * number + _FIRST + 1}::text[]"
    condition = _CONDITIONS[name]
    return f"""
       and ({wanted} = '{{}}' or {condition.format(wanted)})
       and ({excluded} = '{{}}' or not coalesce({condition.format(excluded)}, false))"""


# A machine is used after its next start, with the size that it has then.
_CORES, _MEMORY_MIB = "coalesce(m.pending_cores, m.cores)", "coalesce(m.pending_memory_mib, m.memory_mib)"
_NUMBERS = f"""{_CORES} >= $1 and {_MEMORY_MIB} >= $2
       and {_CORES} <> all($3::integer[]) and {_MEMORY_MIB} <> all($4::bigint[])"""
_MATCHING = f"select array(select m.system_id from machine m where {_NUMBERS}" + (  # noqa: S608  # our own texts
    "".join(_condition(number, name) for number, name in enumerate(_CONDITIONS)) + "\n     order by m.id)"
)


async def narrowed(db: Db, wanted: MachineFilter) -> MachineFilter | None:
    """Returns the filter with the system ids of the machines that match its criteria; None if none matches."""
    if not wanted.criteria.given:
        return wanted
    if wanted.criteria.wanted.unknown:
        return None
    found = await _system_ids(db, wanted.criteria)
    if wanted.system_ids:
        named = set(wanted.system_ids)
        found = [one for one in found if one in named]
    return evolve(wanted, system_ids=tuple(found), criteria=MachineCriteria()) if found else None


async def _system_ids(db: Db, criteria: MachineCriteria) -> list[str]:
    values = asdict(criteria.wanted), asdict(criteria.excluded)
    pairs = [list(side[name]) for name in _CONDITIONS for side in values]
    numbers = criteria.min_cores, criteria.min_memory_mib, list(criteria.not_cores), list(criteria.not_memory_mib)
    found: list[str] = await db.fetchval(_MATCHING, *numbers, *pairs)
    return found
