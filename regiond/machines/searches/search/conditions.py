"""SQL conditions of a search for machines, as constants, and their parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from regiond.machines.core.criteria_store import AT_LIMIT
from regiond.machines.power.wanted_power.conditions import WAITS_FOR_PERSON
from regiond.machines.searches.search.fields import MACHINE_FIELDS, NEED_ATTENTION
from regiond.machines.values.search import MachineSearch
from regiond.requests.caller import Caller, seen_by
from regiond.requests.search_numbers import Ranges
from regiond.requests.search_query import Kind

# What no condition or order names is not joined: PostgreSQL leaves out outer joins with one row at most.
FROM = """
      from machine m
      left join resource_pool p on p.id = m.pool_id
      left join zone z on z.id = m.zone_id
      left join vm_host h on h.id = m.host_id
      left join cluster c on c.id = h.cluster_id
      left join account a on a.id = m.owner_id
      left join deployment d on d.machine_id = m.id
"""
_STATES = ", ".join(f"'{state.value}'" for state in NEED_ATTENTION)
# The same VMs as in the list of what needs attention, `regiond.attention.conditions`.
_ATTENTION = (
    f"(m.state in ({_STATES})"
    " or exists (select from guest g where g.machine_id = m.id and g.volume_missing_since is not null)"
    f" or {WAITS_FOR_PERSON})"
)
# A machine that is measured again after more than a day is idle a week later at the earliest.
_IDLE = """m.power_state = 'on' and exists (
        select from machine_usage u
         where u.machine_id = m.id and u.measured_since < now() - interval '7 days'
           and u.measured_at > now() - interval '1 day'
           and coalesce(u.busy_at < now() - interval '7 days', true))"""
# By field; {} is an array: of patterns for a field of kind TEXT, else of values, in which '' is "none".
_CONDITIONS: Mapping[str, str] = {
    "name": "m.hostname ilike any({})",
    "id": "m.system_id ilike any({})",
    "state": "m.state = any({})",
    "power": "m.power_state = any({})",
    "is": f"(('attention' = any({{}}) and {_ATTENTION})"
    " or ('locked' = any({}) and m.locked) or ('adopted' = any({}) and m.adopted)"
    " or (m.state = 'ready' and m.owner_id is null"
    "     and (('stock' = any({}) and m.is_stock) or ('in_use' = any({}) and not m.is_stock)))"
    f" or ('idle' = any({{}}) and {_IDLE}) or ('at_limit' = any({{}}) and exists (select {AT_LIMIT})))",
    "host": "coalesce(h.name, '') = any({})",
    "cluster": "coalesce(c.name, '') = any({})",
    "pool": "p.name = any({})",
    "zone": "z.name = any({})",
    "owner": "coalesce(a.username, '') = any({})",
    "tag": "(m.tags && {} or ('' = any({}) and m.tags = '{{}}'))",
    "os": "(coalesce(d.osystem, '') = any({}) or d.distro_series = any({}))",
    "arch": "m.architecture = any({})",
    "address": """(exists (select from ip_address i where i.machine_id = m.id and host(i.address) ilike any({}))
           or exists (select from machine_nic n join seen_address s on s.nic_id = n.id
                       where n.machine_id = m.id and m.power_state in ('on', 'paused')
                         and host(s.address) ilike any({})))""",
    "mac": "exists (select from machine_nic n where n.machine_id = m.id and n.mac_address ilike any({}))",
    "description": "m.description ilike any({})",
}
_EVERY: Mapping[str, str] = {
    "tag": "m.tags @> {}",
    "os": "array[d.osystem, d.distro_series] @> {}",
}
_NUMBERS: Mapping[str, str] = {
    "cores": "m.cores::bigint",
    "ram": "m.memory_mib",
    "storage": "(select coalesce(sum(k.size_bytes), 0)::bigint from machine_disk k where k.machine_id = m.id)",
}
# The machines that have the words of an array somewhere, with the number of each word: every table is read once.
_WITH_WORDS = """
    select m.id as machine_id, w.number
      from unnest({words}) with ordinality w (pattern, number)
      join machine m on m.hostname ilike w.pattern or m.system_id ilike w.pattern or m.description ilike w.pattern
           or exists (select from unnest(m.tags) tag where tag ilike w.pattern)
     union all
    select m.id, w.number
      from unnest({words}) with ordinality w (pattern, number)
      join vm_host h on h.name ilike w.pattern join machine m on m.host_id = h.id
     union all
    select m.id, w.number
      from unnest({words}) with ordinality w (pattern, number)
      join account a on a.username ilike w.pattern join machine m on m.owner_id = a.id
     union all
    select m.id, w.number
      from unnest({words}) with ordinality w (pattern, number)
      join resource_pool p on p.name ilike w.pattern join machine m on m.pool_id = p.id
     union all
    select n.machine_id, w.number
      from unnest({words}) with ordinality w (pattern, number)
      join machine_nic n on n.mac_address ilike w.pattern
     union all
    select i.machine_id, w.number
      from unnest({words}) with ordinality w (pattern, number)
      join ip_address i on host(i.address) ilike w.pattern
     where i.machine_id is not null
     union all
    select n.machine_id, w.number
      from unnest({words}) with ordinality w (pattern, number)
      join seen_address s on host(s.address) ilike w.pattern join machine_nic n on n.id = s.nic_id
      join machine m on m.id = n.machine_id and m.power_state in ('on', 'paused')
"""
_WORDS, _NOT_WORDS = (_WITH_WORDS.format(words=f"${number}::text[]") for number in (4, 5))
_HAS_WORDS = f"""
    m.id in (select machine_id from ({_WORDS}) found
              group by machine_id having count(distinct number) = cardinality($4::text[]))
"""  # noqa: S608  # our own texts
_HAS_NO_WORDS = f"m.id not in (select machine_id from ({_NOT_WORDS}) found)"  # noqa: S608
_FIRST = 6  # the number of the first parameter of a field
_EVERY_FIRST = _FIRST + 2 * len(_CONDITIONS)
_NUMBERS_FIRST = _EVERY_FIRST + len(_EVERY)
NEXT_PARAMETER = _NUMBERS_FIRST + len(_NUMBERS)  # the first one that the conditions do not use


def _pair(number: int, condition: str) -> str:
    """The values that are wanted and those that are excluded; an unknown fact is not excluded."""
    wanted, excluded = f"${number}::text[]", f"${number + 1}::text[]"
    return f"""
       and ({wanted} = '{{}}' or {_filled(condition, wanted)})
       and ({excluded} = '{{}}' or not coalesce({_filled(condition, excluded)}, false))"""


def _filled(condition: str, array: str) -> str:
    return condition.replace("{{}}", "\0").replace("{}", array).replace("\0", "{}")


def _every(number: int, condition: str) -> str:
    return f"\n       and (${number}::text[] = '{{}}' or coalesce({_filled(condition, f'${number}::text[]')}, false))"


def _number(number: int, value: str) -> str:
    return f"\n       and (${number}::text is null or {value} <@ (${number}::text)::int8multirange)"


WHERE = (
    """
     where ($1::integer[] is null or m.pool_id = any($1) or m.owner_id = $2
            or (m.owner_id is null and m.composed_by_id = $2))
       and ($3::integer[] is null or m.host_id = any($3))
       and ($4::text[] = '{}' or """
    + _HAS_WORDS
    + ") and ($5::text[] = '{}' or "
    + _HAS_NO_WORDS
    + ")"
    + "".join(_pair(_FIRST + 2 * number, each) for number, each in enumerate(_CONDITIONS.values()))
    + "".join(_every(_EVERY_FIRST + number, each) for number, each in enumerate(_EVERY.values()))
    + "".join(_number(_NUMBERS_FIRST + number, each) for number, each in enumerate(_NUMBERS.values()))
)
_SPECIAL = str.maketrans({"\\": "\\\\", "%": "\\%", "_": "\\_"})


def parameters(search: MachineSearch, caller: Caller | None) -> tuple[Any, ...]:
    """Returns the parameters of WHERE."""
    query = search.query
    pairs = [
        _arguments(name, values.get(name, ())) for name in _CONDITIONS for values in (query.wanted, query.excluded)
    ]
    return (
        *seen_by(caller),
        None if search.host_ids is None else list(search.host_ids),
        _patterns(query.words),
        _patterns(query.not_words),
        *pairs,
        *(list(query.every.get(name, ())) for name in _EVERY),
        *(_multirange(query.numbers[name]) if name in query.numbers else None for name in _NUMBERS),
    )


def _arguments(name: str, values: Sequence[str]) -> list[str]:
    return _patterns(values) if MACHINE_FIELDS[name].kind is Kind.TEXT else list(values)


def _patterns(texts: Sequence[str]) -> list[str]:
    return [f"%{text.translate(_SPECIAL)}%" for text in texts]


def _multirange(ranges: Ranges) -> str:
    return "{" + ",".join(f"[{first},{last}]" for first, last in ranges) + "}"
