"""What Prometheus reads from a region."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
import treq
from prometheus_client import CollectorRegistry
from prometheus_client.samples import Sample

from common.errors import InnkeeperError
from common.process.deferreds import from_deferred
from regiond.db.pool import Database
from regiond.metrics import operations as operation_readings
from regiond.metrics import readings
from regiond.metrics.hosts import RACKS
from regiond.metrics.operations import OPERATIONS
from regiond.metrics.process_state import ProcessState
from tests.deployment.deployment import Deployment
from tests.deployment.in_process import deployed
from tests.integration.support import scrapes
from tests.integration.support.scrapes import OPENMETRICS, value
from tests.support.clock import advance
from tests.support.waiting import eventually


def port_of(region: Deployment) -> int | None:
    listener = region.region.components.metrics_listener
    return None if listener is None else listener.port


async def answer(
    region: Deployment, path: str = "metrics", *, method: str = "GET", **headers: str
) -> tuple[int, str, bytes]:
    return await scrapes.answer(port_of(region), path, method=method, **headers)


async def scraped(region: Deployment, *failing: str) -> list[Sample]:
    """Returns a scrape in which only the `failing` readings fail: on a busy computer, another can be too late."""

    async def samples() -> list[Sample] | None:
        found = await scrapes.samples_of(port_of(region))
        failed = [one for one in found if one.name == "innkeeper_reading_success" and not one.value]
        return found if [one.labels["reading"] for one in failed] == list(failing) else None

    found: list[Sample] = await eventually(samples)
    return found


GIB = 1024**3


async def test_a_scrape_counts_a_compose(tmp_path: Path, database_url: str) -> None:
    async with deployed(tmp_path, database_url, metrics_host="127.0.0.1", metrics_port=0) as region:
        await region.start_rack()
        host = await region.add_simulated(cores=2, memory_mib=8192)
        composed = await region.compose(host["id"], cores=1, memory=1024)
        with pytest.raises(InnkeeperError, match="needs 2 cores, 1 free"):
            await region.compose(host["id"], cores=2, memory=1024)
        await region.post("quotas/", user="admin", machines=1)
        services = region.region.components.services
        await services.attention.note()
        await services.reconciler.check()

        async def after_the_first_delay() -> list[Sample] | None:
            found = await scraped(region)
            return found if value(found, "innkeeper_event_loop_lag_seconds_count") else None

        samples = await eventually(after_the_first_delay)  # on a fast computer, all of this ends before it is measured
        machines = await region.fetch("select system_id, hostname, uuid::text from machine")
        (audited,) = await region.fetch("select count(*) as entries from audit_entry")
    assert value(samples, "innkeeper_build_info", program="regiond") == 1
    assert value(samples, "innkeeper_database_up") == 1
    check_requests_and_claims(samples)
    check_calls_and_hosts(samples)
    check_records(samples)
    assert value(samples, "innkeeper_audit_entries") == audited["entries"] > 0
    texts = {text for one in samples for text in one.labels.values()}
    assert not [text for text in texts if text.startswith("sim")], "names of hosts are not bounded"
    (vm,) = machines
    assert vm["system_id"] == composed["system_id"]
    assert texts.isdisjoint(vm.values()), "what names a VM is not bounded"


def check_requests_and_claims(samples: list[Sample]) -> None:
    composes = {"endpoint": "VmHostHandler.compose", "method": "POST"}
    assert value(samples, "innkeeper_http_requests_total", status="2xx", **composes) == 1
    assert value(samples, "innkeeper_http_requests_total", status="5xx", **composes) == 1
    assert value(samples, "innkeeper_http_request_duration_seconds_count", **composes) == 2
    for outcome, number in {"won": 1, "lost": 0, "retried": 0, "out_of_capacity": 1}.items():
        assert value(samples, "innkeeper_claim_attempts_total", outcome=outcome) == number
    assert value(samples, "innkeeper_operations", kind="compose") is None, "it has ended"
    assert value(samples, "innkeeper_operations_ended_total", kind="compose", state="succeeded") == 1
    assert value(samples, "innkeeper_operation_duration_seconds_count", kind="compose") == 1
    assert value(samples, "innkeeper_operations_due") == 0
    assert value(samples, "innkeeper_operation_leases") == 0
    limit = value(samples, "innkeeper_database_connections_limit")
    assert limit is not None
    assert 0 < (value(samples, "innkeeper_database_connections") or 0) <= limit
    assert value(samples, "innkeeper_database_connection_waiters") == 0
    assert (value(samples, "process_open_fds") or 0) > 0


def check_calls_and_hosts(samples: list[Sample]) -> None:
    assert value(samples, "innkeeper_rpc_requests_total", command="rack.join", outcome="ok") == 1
    assert value(samples, "innkeeper_rpc_calls_total", command="host.compose", outcome="ok") == 1
    assert value(samples, "innkeeper_rpc_call_duration_seconds_count", command="host.compose") == 1
    assert value(samples, "innkeeper_rpc_calls_in_progress", command="host.compose") == 0
    assert (value(samples, "innkeeper_rpc_peer_calls_total", peer="rack", outcome="ok") or 0) >= 1
    assert value(samples, "innkeeper_rpc_links", role="rack") == 1
    assert value(samples, "innkeeper_racks", state="connected") == 1
    assert value(samples, "innkeeper_racks", state="away") == 0
    assert value(samples, "innkeeper_hosts", state="ready") == value(samples, "innkeeper_hosts") == 1
    assert value(samples, "innkeeper_hosts_overdue") == 0
    assert 0 < (value(samples, "innkeeper_host_refresh_oldest_age_seconds", state="ready") or 0) < 300
    for stage in ("discover", "apply"):
        assert (value(samples, "innkeeper_host_refreshes_total", stage=stage, outcome="ok") or 0) >= 1
        assert (value(samples, "innkeeper_host_refresh_duration_seconds_count", stage=stage) or 0) >= 1


def check_records(samples: list[Sample]) -> None:
    for group in ({"zone": "default"}, {"pool": "default"}):
        (label,) = group
        assert value(samples, f"innkeeper_{label}_capacity_cores", **group) == 2
        assert value(samples, f"innkeeper_{label}_used_cores", **group) == 1
        assert value(samples, f"innkeeper_{label}_capacity_memory_bytes", **group) == 8 * GIB
        assert value(samples, f"innkeeper_{label}_used_memory_bytes", **group) == GIB
        assert (value(samples, f"innkeeper_{label}_used_storage_bytes", **group) or 0) > 0
    assert value(samples, "innkeeper_machines", state="ready") == value(samples, "innkeeper_machines") == 1
    assert value(samples, "innkeeper_quotas_nearly_used") == 1
    assert value(samples, "innkeeper_attention_items", kind="rack_away") == 0
    assert value(samples, "innkeeper_attention_items", kind="backup_old") == 0
    assert value(samples, "innkeeper_last_backup_timestamp_seconds") is None
    assert value(samples, "innkeeper_discrepancies", kind="wrong_total") == 0
    assert value(samples, "innkeeper_ledger_checks_total", outcome="completed") == 1
    assert value(samples, "innkeeper_ledger_check_duration_seconds_count") == 1
    now = time.time()
    assert now - 300 < (value(samples, "innkeeper_ledger_last_check_timestamp_seconds") or 0) <= now
    for purpose in ("authority", "rack"):
        assert (value(samples, "innkeeper_certificate_expiry_timestamp_seconds", purpose=purpose) or 0) > now
    assert value(samples, "innkeeper_certificate_expiry_timestamp_seconds", purpose="api") is None, "it is plain HTTP"


async def test_an_unfinished_operation_has_its_kind_state_and_age(tmp_path: Path, database_url: str) -> None:
    async with deployed(tmp_path, database_url, metrics_host="127.0.0.1", metrics_port=0) as region:
        await region.start_rack()
        host = await region.add_simulated("elm")

        async def is_running() -> bool:
            return [one["state"] for one in await region.get("operations/") if one["kind"] == "compose"] == ["running"]

        with region.held("version", name="elm"):
            composing = asyncio.create_task(region.compose(host["id"], cores=1, memory=1024))
            await eventually(is_running)
            samples = await scraped(region)
        await composing
    assert value(samples, "innkeeper_operations", kind="compose", state="running") == 1
    assert 0 <= (value(samples, "innkeeper_operation_oldest_age_seconds", kind="compose") or -1) < 60
    assert value(samples, "innkeeper_operation_leases") == 1


async def test_paths_that_clients_invent_have_one_series(tmp_path: Path, database_url: str) -> None:
    async with deployed(tmp_path, database_url, metrics_host="127.0.0.1", metrics_port=0) as region:
        for path in ("no-such-path-1", "no-such-path-2"):
            await from_deferred(treq.get(f"{region.region.api_url}{path}", persistent=False))
        samples = await scraped(region)
    unknown = [one for one in samples if one.name == "innkeeper_http_requests_total" and one.labels["status"] == "4xx"]
    assert [(one.labels["endpoint"], one.value) for one in unknown] == [("none", 2)]


async def test_the_scraper_chooses_format_and_compression(tmp_path: Path, database_url: str) -> None:
    async with deployed(tmp_path, database_url, metrics_host="127.0.0.1", metrics_port=0) as region:
        plain = await answer(region)
        assert (plain[0], plain[1].partition(";")[0]) == (200, "text/plain")
        openmetrics = await answer(region, Accept=OPENMETRICS)
        assert openmetrics[1].startswith("application/openmetrics-text")
        assert openmetrics[2].endswith(b"# EOF\n")
        head = await answer(region, method="HEAD")
        assert (head[0], head[2]) == (200, b"")
        assert (await answer(region, method="POST"))[0] == 405
        for path in ("other", "metrics/other"):
            assert (await answer(region, path))[0] == 404


async def test_without_an_address_there_are_no_metrics(tmp_path: Path, database_url: str) -> None:
    async with deployed(tmp_path, database_url, metrics_host="") as region:
        assert region.region.components.metrics_listener is None


def _fail(_: ProcessState) -> None:
    raise ZeroDivisionError


async def test_a_scrape_leaves_out_what_cannot_be_read(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operation_readings, "_READ_QUEUE", "select nothing from no_such_table")
    async with deployed(tmp_path, database_url, metrics_host="127.0.0.1", metrics_port=0) as region:
        samples = await scraped(region, "operations")
        monkeypatch.setattr(ProcessState, "collect", _fail)
        status, kind, body = await answer(region)
    assert (status, kind.partition(";")[0]) == (500, "text/plain"), "not a scrape that hangs"
    assert b"see the log" in body
    assert value(samples, "innkeeper_operations_due") is None
    assert value(samples, "innkeeper_hosts", state="ready") == 0
    assert value(samples, "innkeeper_database_up") == 1


async def test_a_reading_that_waits_for_a_lock_leaves_the_others(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readings, "READING_DEADLINE_S", 0.5)  # PostgreSQL's clock cannot be moved
    registry = CollectorRegistry()
    scraped = readings.Readings(registry, database, (OPERATIONS, RACKS))

    async def has_read(name: str, labels: dict[str, str] | None = None) -> bool:
        """Scrapes again until a reading is quick enough: a busy computer may need more than the deadline."""
        await scraped.refresh()
        return registry.get_sample_value(f"innkeeper_{name}", labels) == 0

    async with database.transaction() as db:
        await db.execute("lock table operation in access exclusive mode")
        await eventually(lambda: has_read("racks", {"state": "connected"}))
        assert registry.get_sample_value("innkeeper_operations_due") is None
        assert registry.get_sample_value("innkeeper_reading_success", {"reading": "operations"}) == 0
    await eventually(lambda: has_read("operations_due"))
    await eventually(lambda: database.pool_use.size == database.pool_use.idle)


async def test_an_operation_of_a_dead_region_is_due(database: Database) -> None:
    """As for the regions that acquire it: its lease has expired."""
    insert = """
        insert into operation (kind, max_failures, lease_owner, lease_until)
        select 'refresh', 1, gen_random_uuid(), now() + ends_in
          from unnest(array['-1 s', '1 h']::interval[]) as ends_in
    """
    async with database.connection() as db:
        await db.execute(insert)
        samples = [sample async for sample in OPERATIONS.read(db)]
    found = {sample.family: sample.value for sample in samples}
    due, leased = OPERATIONS.families[2:]
    assert (found[due], found[leased]) == (1, 1)


async def test_a_scrape_answers_without_the_database(tmp_path: Path, database_url: str) -> None:
    async with deployed(tmp_path, database_url, checked=False, metrics_host="127.0.0.1", metrics_port=0) as region:
        assert value(await scraped(region), "innkeeper_database_up") == 1
        region.region.components.database.reject_all("test: the database is down")
        await advance(OPERATIONS.every_s + 1)
        samples = await scrapes.samples_of(port_of(region))
    assert value(samples, "innkeeper_database_up") == 0
    assert value(samples, "innkeeper_build_info") == 1
    assert value(samples, "innkeeper_operations_due") is None
