"""Searches for machines in the database: fields, words, numbers, groups, and names that exist."""

from __future__ import annotations

from random import Random

import pytest
from attrs import evolve

from common.errors import InvalidRequest
from regiond.db.pool import Database, Db
from regiond.machines.searches.machine_searches import MachineSearches
from regiond.machines.searches.search.fields import MACHINE_FIELDS
from regiond.machines.values.search import MachineColumn, MachineGroup, MachineSearch
from regiond.requests.caller import Caller
from tests.bench.prefilled import prefill

pytestmark = pytest.mark.database

_FILL = """
    with far as (insert into zone (name) values ('far') returning id),
         staging as (insert into resource_pool (name) values ('staging') returning id),
         ann as (insert into account (username) values ('ann') returning id)
    update machine set zone_id = far.id, pool_id = staging.id, owner_id = ann.id, tags = '{gpu,ssd}',
           description = '100% of the Build farm'
      from far, staging, ann where hostname in ('vm-2-2', 'vm-3-1')
"""
_OTHERS = (
    "update machine set state = 'failed_compose', host_id = null, cores = 8 where hostname = 'vm-1-2'",
    "update machine set power_state = 'on', locked = true, tags = '{gpu}', memory_mib = 8192 where hostname = 'vm-1-1'",
    "insert into seen_address (nic_id, address) select n.id, '10.20.10.7'::inet from machine_nic n"
    " join machine m on m.id = n.machine_id where hostname = 'vm-1-1'",
    "insert into deployment (machine_id, operation_id, image, osystem, distro_series)"
    " select id, 1, '{}', 'ubuntu', 'noble' from machine where hostname = 'vm-1-1'",
)

_FOUND = [
    ("name:vm-2", ["vm-2-1", "vm-2-2"]),
    ("host:host-2", ["vm-2-1", "vm-2-2"]),
    ("host:none", ["vm-1-2"]),
    ("pool:staging", ["vm-2-2", "vm-3-1"]),
    ("pool:staging -zone:far", []),
    ("-zone:far host:host-*", ["vm-1-1", "vm-2-1", "vm-3-2"]),
    ("owner:ANN", ["vm-2-2", "vm-3-1"]),
    ("owner:none state:failed", ["vm-1-2"]),
    ("tag:gpu", ["vm-1-1", "vm-2-2", "vm-3-1"]),
    ("tag:gpu -tag:ssd", ["vm-1-1"]),
    ("tag:gpu+ssd", ["vm-2-2", "vm-3-1"]),
    ("tag:none", ["vm-1-2", "vm-2-1", "vm-3-2"]),
    ("is:attention", ["vm-1-2"]),
    ("is:locked is:attention", ["vm-1-1", "vm-1-2"]),
    ("power:on", ["vm-1-1"]),
    ("os:noble", ["vm-1-1"]),
    ("os:none host:host-1", []),
    ("-os:ubuntu name:vm-1", ["vm-1-2"]),
    ("address:10.20.10.", ["vm-1-1"]),
    ("10.20.10.7", ["vm-1-1"]),
    ('description:"100% of the build"', ["vm-2-2", "vm-3-1"]),
    ("FARM 3-1", ["vm-3-1"]),
    ("-farm -vm-1", ["vm-2-1", "vm-3-2"]),
    ("ann gpu host-3", ["vm-3-1"]),
    ("cores:>=2", ["vm-1-2"]),
    ("ram:8", ["vm-1-1"]),
    ("ram:<8 cores:1 -storage:>8", ["vm-2-1", "vm-2-2", "vm-3-1", "vm-3-2"]),
    ("cores:>9 cores:<3", []),
    ("arch:amd64 vm-3-2", ["vm-3-2"]),
    ("100%", ["vm-2-2", "vm-3-1"]),
    ("vm_1", []),
]


async def _fill(db: Db) -> None:
    await db.execute(_FILL)
    for statement in _OTHERS:
        await db.execute(statement)


async def _names(searches: MachineSearches, text: str, *, caller: Caller | None = None) -> list[str]:
    search = MachineSearch(query=await searches.read_query(text, caller=caller))
    return [machine.hostname for machine in (await searches.page(search, caller=caller)).machines]


async def test_a_search_finds_what_its_terms_say(database: Database, database_url: str) -> None:
    await prefill(database_url, hosts=3, machines_each=2)
    async with database.connection() as db:
        await _fill(db)
    searches = MachineSearches(database)
    assert [(text, await _names(searches, text)) for text, _ in _FOUND] == _FOUND


async def test_a_name_that_does_not_exist_is_answered_with_those_that_do(database: Database, database_url: str) -> None:
    await prefill(database_url, hosts=2, machines_each=1)
    searches = MachineSearches(database)
    with pytest.raises(InvalidRequest) as refused:
        await searches.read_query("pool:stagin host:host-9")
    assert refused.value.fields == {
        "q": [
            "pool: There is no pool 'stagin'; there is default.",
            "host: There is no host 'host-9'; there are host-2, host-1.",
        ]
    }


async def test_a_user_searches_only_what_the_user_may_see(database: Database, database_url: str) -> None:
    await prefill(database_url, hosts=2, machines_each=1)
    searches = MachineSearches(database)
    async with database.connection() as db:
        await _fill(db)
        await db.execute("update machine set owner_id = (select id from account where username = 'ann')"
                         " where hostname = 'vm-2-1'")  # fmt: skip
        ann = Caller(
            account_id=await db.fetchval("select id from account where username = 'ann'"),
            username="ann",
            is_admin=False,
        )
    assert await _names(searches, "", caller=ann) == ["vm-2-1"]
    assert await _names(searches, "host:host-2", caller=ann) == ["vm-2-1"]
    with pytest.raises(InvalidRequest):
        await searches.read_query("host:host-1", caller=ann)
    known = await searches.names(("host", "owner", "pool"), caller=ann)
    assert known == {"host": ["host-2"], "owner": ["ann"], "pool": ["default"]}


async def test_groups_are_counted_over_all_pages_and_keep_the_sort(database: Database, database_url: str) -> None:
    await prefill(database_url, hosts=3, machines_each=4)
    searches = MachineSearches(database)
    async with database.connection() as db:
        await db.execute("update machine set cores = substr(hostname, 6)::integer where hostname like 'vm-%'")
        await db.execute("update machine set host_id = null where hostname = 'vm-1-1'")
    search = MachineSearch(group=MachineGroup.HOST, sort=MachineColumn.CORES, descending=True, limit=5)
    first = await searches.page(search)
    assert [one.hostname for one in first.machines] == ["vm-1-4", "vm-1-3", "vm-1-2", "vm-2-4", "vm-2-3"]
    assert await searches.group_sizes(search) == {"host-1": 3, "host-2": 4, "host-3": 4, None: 1}
    last = await searches.page(evolve(search, offset=10))
    assert [one.hostname for one in last.machines] == ["vm-3-1", "vm-1-1"]
    beyond = await searches.page(evolve(search, offset=500))
    assert (beyond.machines, beyond.total, beyond.offset) == (last.machines, 12, 10)
    by_host = evolve(search, sort=MachineColumn.HOST, limit=1)
    assert [one.host_name for one in (await searches.page(by_host)).machines] == ["host-3"]
    none = await searches.page(evolve(search, query=await searches.read_query("nothing-has-this"), offset=50))
    assert (none.machines, none.total, none.offset) == ((), 0, 0)


@pytest.mark.slow
async def test_any_search_is_answered_or_refused_with_reasons(database: Database, database_url: str) -> None:
    """Random terms, with values that exist and others: no text makes a statement that fails."""
    await prefill(database_url, hosts=2, machines_each=2)
    searches, random = MachineSearches(database), Random(26)  # noqa: S311  # no secret
    async with database.connection() as db:
        await _fill(db)
    values = (
        "vm-1-1",
        "none",
        "default",
        "gpu+ssd",
        "4",
        ">=2",
        "1..9",
        "on",
        "ready",
        "%",
        "_",
        "'",
        '"',
        "\\",
        "*",
        "é",
    )
    fields, answered = [*(f"{name}:" for name in MACHINE_FIELDS), ""], 0
    for number in range(150):
        terms = [
            random.choice(("", "-")) + random.choice(fields) + random.choice(values)
            for _ in range(random.randint(1, 4))
        ]
        group = random.choice((None, *MachineGroup))
        try:
            query = await searches.read_query(" ".join(terms))
        except InvalidRequest:
            continue
        sort = random.choice(list(MachineColumn))
        search = MachineSearch(query=query, group=group, sort=sort, descending=bool(number % 2), limit=2)
        page, sizes = await searches.page(search), await searches.group_sizes(search)
        assert sum(sizes.values()) == page.total, terms
        answered += 1
    assert answered > 20
