"""After a full life of a deployment, none of its secrets is where it does not belong."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from development import postgres
from regiond.db.pool import Database
from tests.deployment.deployment import Deployment
from tests.deployment.runner import RACK
from tests.faults.secrets import secret_places
from tests.faults.secrets.echoing_lxd import echoing_lxd
from tests.faults.secrets.planted_life import PlantedLife
from tests.faults.secrets.private_processes import PrivateProcesses
from tests.postgresql.database import execute

NO_CORE_DUMPS = {"0"}
HYPERVISOR = "simulated"  # stores the user data of its guests
HOLDERS = {
    "state",
    f"rack-{RACK}",
    "robot",
    "home",
    "regiond.toml",
}  # of files with secrets, in the deployment's folder


@pytest.fixture
def life(tmp_path: Path, server_folder: Path) -> Iterator[PlantedLife]:
    (tmp_path / "deployment").mkdir()
    processes = PrivateProcesses(
        folder=tmp_path / "deployment", server_folder=server_folder, settings={"log_level": "debug"}
    )
    with echoing_lxd(tmp_path / "lxd") as lxd:
        yield PlantedLife(deployment=Deployment(runner=processes), lxd=lxd)
        processes.kill_all()


async def answers(life: PlantedLife) -> dict[str, bytes]:
    """What an administrator and another user read."""
    hosts = life.deployment.hosts
    values = {"id": [str(number) for number in hosts.values()], "username": ["ann"], "name": ["default", *hosts]}
    bob = await life.log_in("bob")
    each = await asyncio.gather(
        secret_places.reads(life.deployment.api, "admin", values), secret_places.reads(bob, "bob", values)
    )
    return {place: answer for found in each for place, answer in found.items()}


def assert_only_own_private_files(life: PlantedLife) -> None:
    holding = {path for path, data in secret_places.files(life.folder).items() if life.search.found_in(data)}
    found = {path for path in holding if HYPERVISOR not in path.parts}
    assert {path.relative_to(life.folder).parts[0] for path in found} == HOLDERS, (
        "the search finds where secrets belong"
    )
    assert [path for path in found if not secret_places.is_private(path)] == []


def assert_it_happened(life: PlantedLife, places: dict[str, bytes]) -> None:
    """Asserts that the secrets were used, and that the places have traces of that."""
    sent = life.search.found_in(" ".join(life.lxd.received).encode())
    assert {"trust password", "new trust password", "LXD token"} <= sent
    assert all("trust" in name or name == "LXD token" for name in sent), "no other secret goes to a server"
    assert "unconfirmed trust password" not in sent
    assert b"request_crashed" in places["log region.log"]
    assert b"answer_misread" in places["log rack.log"]
    assert b"host_trust_rejected" in places["database"]
    assert b"Wrong user name or password" in places["log command-innkeeper.log"]
    for of in ("admin", "bob"):
        assert b'"name":"sim"' in places[f"{of}: GET /MAAS/api/2.0/vm-hosts/"]
        assert b"data: " in places[f"{of}: GET /MAAS/api/2.0/events/stream"]


async def test_no_planted_secret_is_found_after_a_full_life(life: PlantedLife) -> None:
    await life.start()
    server = postgres.start(life.processes.server_folder)
    for username in ("ann", "bob"):
        await life.add_user(username)
    await life.log_in("ann")
    await life.fail_to_log_in()
    await life.use_the_command()
    await life.use_a_session()
    await life.add_hosts()
    await life.use_machines()
    await life.mistake_fields()
    await life.change_hosts()
    await life.meet_bugs()
    processes = secret_places.own_processes(life.processes)
    of_processes = secret_places.process_files(processes)
    cores = {name: secret_places.core_bytes(processes[name]) for name in life.processes.running}
    await life.restart()
    life.add_files()

    read = await answers(life)
    places = {**secret_places.logs(life.processes), **secret_places.database(server), **of_processes, **read}
    assert_it_happened(life, places)
    assert life.search.found_among(places) == {}
    assert_only_own_private_files(life)
    assert cores == {"region": NO_CORE_DUMPS, RACK: NO_CORE_DUMPS}


async def test_the_search_finds_a_secret_in_every_place(
    life: PlantedLife, database: Database, database_url: str
) -> None:
    phrase = life.planted("phrase")
    expected = {"log region.log", "database", "cmdline of rack", "environ of rack"}
    (life.folder / "region.log").write_text(f'{{"event": "logged", "text": "{phrase}"}}\n')
    await execute(database, "insert into zone (name) values ($1)", phrase)
    wide = life.folder / "wide"
    wide.write_text(phrase)
    wide.chmod(0o644)
    process = await asyncio.create_subprocess_exec(
        "sh", "-c", "read line", phrase, env={"PHRASE": phrase, **os.environ}, stdin=asyncio.subprocess.PIPE
    )
    places = {
        **secret_places.logs(life.processes),
        **secret_places.database(database_url),
        **secret_places.process_files({"rack": process.pid}),
    }
    process.kill()
    await process.wait()
    assert life.search.found_among(places) == {place: {"phrase"} for place in expected}
    found = {path for path, data in secret_places.files(life.folder).items() if life.search.found_in(data)}
    assert [path.name for path in found if not secret_places.is_private(path)] == ["wide"]
