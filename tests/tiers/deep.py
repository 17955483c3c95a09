"""The deep tier: `./dev test deep [AREA ...]`, each area alone.

What passed is recorded by commit in `.test-results/`. An area that was interrupted or failed continues with the tests
that have not passed yet, as long as no file changes; `--again` starts anew.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.lab.servers.incus_server import install_incus
from tests.tiers import unstable
from tests.tiers.areas import AREAS, DEEP, LEAST_PRIVILEGE, POSTGRESQL, Area, Need
from tests.tiers.results import Results, read
from tests.tiers.runs import CHECKOUT, commit, run, say, will_be_skipped

FOLDER = CHECKOUT / ".test-results"
REPEATS_OF_UNSTABLE = 50


def deep(names: Iterable[str], *, again: bool = False) -> int:
    """Runs these areas, all of them without names. Returns 1 if anything failed, 2 for an unknown area."""
    chosen = list(names) or [area.name for area in DEEP]
    if unknown := [name for name in chosen if name not in AREAS]:
        say(f"no area {', '.join(unknown)}; there are {', '.join(area.name for area in DEEP)}")
        return 2
    failed = [name for name in chosen if not _run_area(AREAS[name], again=again)]
    if not list(names):
        failed += ["unstable tests"] * (not _repeat_unstable())
    for line in overview():
        say(line)
    return 1 if failed else 0


def overview() -> Iterator[str]:
    """What is known of each area at this commit."""
    for area in DEEP:
        record = _read_record(area, commit())
        yield f"{area.name}: {_summary(record) if record else 'not run at this commit'}"


def _summary(record: Any) -> str:
    failed = f"{len(record['failed'])} tests" if record["failed"] else "could not run to its end"
    outcome = "passed" if record["green"] else f"FAILED ({failed})"
    return f"{outcome}, {record['passed']} tests, {record['minutes']:.1f} min, ended {record['ended_at']}"


def _run_area(area: Area, *, again: bool) -> bool:
    where = FOLDER / commit() / area.name
    if again or commit().endswith("+"):  # with changes that no commit names
        shutil.rmtree(where, ignore_errors=True)
    where.mkdir(parents=True, exist_ok=True)
    record = _read_record(area, commit())
    if record and record["green"]:
        say(f"{area.name} has passed at this commit; --again repeats it")
        return True
    if Need.INCUS in area.needs and (why := install_incus()) is not None:
        say(f"failed: area {area.name}, none of whose tests can run without Incus, which could not be installed: {why}")
        _write_record(area, where, Results(), Results(), 0.0, green=False)
        return False
    for reason in will_be_skipped(area):
        say(reason)
    say(f"area {area.name}: {area.title}")
    return _run_rest(area, where, minutes_before=record["minutes"] if record else 0.0)


def _run_rest(area: Area, where: Path, *, minutes_before: float) -> bool:
    """Runs the tests of the area that have not passed yet."""
    file, started = where / "results.jsonl", time.monotonic()
    earlier = read(file)
    passed = where / "passed"
    passed.write_text("\n".join(earlier.passed))
    if earlier.passed:
        say(f"{len(earlier.passed)} tests passed before and are not repeated")
    current = where / "current.jsonl"
    current.unlink(missing_ok=True)
    with _server_of(area) as environment:
        status, results = run(area, current, options=[f"--passed={passed}"], environment=environment)
    with file.open("a") as all_results:
        all_results.write(current.read_text() if current.exists() else "")
    for part in results.parts:
        say(str(part))
    for one in results.failures:
        say(f"failed: {one.test}")
    green = status == 0 or (status == 5 and bool(earlier.passed))  # 5: no test was left
    _write_record(area, where, earlier, results, minutes_before + (time.monotonic() - started) / 60, green=green)
    return green


def _write_record(area: Area, where: Path, earlier: Results, results: Results, minutes: float, *, green: bool) -> None:
    record = {
        "area": area.name, "commit": commit(), "green": green, "minutes": round(minutes, 1),
        "ended_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "passed": len(earlier.passed | results.passed), "failed": [one.test for one in results.failures],
        "parts": [str(part) for part in results.parts],
    }  # fmt: skip
    (where / "record.json").write_text(json.dumps(record, indent=1))


def _read_record(area: Area, name: str) -> Any:
    path = FOLDER / name / area.name / "record.json"
    return json.loads(path.read_text()) if path.exists() else None


@contextmanager
def _server_of(area: Area) -> Iterator[dict[str, str]]:
    """Where the area's tests are about another PostgreSQL: a server of it, and the variable that names it.

    Where they are about another role: the variable that chooses it.
    """
    if area.name == LEAST_PRIVILEGE:
        yield {"TESTS_LEAST_PRIVILEGE": "1"}
        return
    if area.name != POSTGRESQL:
        yield {}
        return
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    assert programs, "requires Debian's PostgreSQL: apt-get install postgresql"
    with tempfile.TemporaryDirectory(prefix="innkeeper-pg-") as name:
        shutil.chown(name, "postgres")
        data, options = f"{name}/data", f"-c listen_addresses= -c unix_socket_directories={name}"
        _as_postgres(programs[-1] / "initdb", "--auth=trust", "--encoding=UTF8", "--locale=C", "-D", data)
        options += " -c max_connections=300 -c fsync=off"
        _as_postgres(programs[-1] / "pg_ctl", "-D", data, "-l", f"{name}/log", "-w", "start", "-o", options)
        try:
            yield {"INNKEEPER_TEST_DATABASE": f"postgresql://postgres@/postgres?host={name}"}
        finally:
            _as_postgres(programs[-1] / "pg_ctl", "-D", data, "-m", "immediate", "stop")


def _as_postgres(*command: object) -> None:
    become = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    subprocess.run([*become, *map(str, command)], cwd="/", check=True, stdout=subprocess.DEVNULL, timeout=120)


def _repeat_unstable() -> bool:
    """Runs each test of `tests/unstable.txt` many times."""
    known = unstable.entries(unstable.FILE.read_text()) if unstable.FILE.exists() else ()
    green = True
    for entry in known:
        failures = 0
        for _ in range(REPEATS_OF_UNSTABLE):
            with tempfile.TemporaryDirectory() as folder:
                status, _ = run(AREAS["first"], Path(folder) / "results", tests=[entry.test], alone=True, quiet=True)
            failures += status != 0
        say(f"unstable: {entry.test} failed {failures} of {REPEATS_OF_UNSTABLE} times")
        green = green and not failures
    return green
