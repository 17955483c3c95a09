"""The two tiers of tests: which area a test belongs to, what a failure by chance is, and how results are summed up."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path

import pytest

from tests.tiers import deep, runs, unstable
from tests.tiers.areas import AREAS, LEAST_PRIVILEGE, POSTGRESQL, PROPERTIES, Need, area_of, repeats
from tests.tiers.results import Failure, read
from tests.tiers.runs import CHECKOUT

TODAY = date(2026, 11, 23)
MAY_USE_THE_IMAGE = sorted([*CHECKOUT.glob("tests/lab/**/test_*.py"), *CHECKOUT.glob("tests/systemd/*.py")])


@pytest.mark.parametrize(
    ("path", "markers", "parameters", "area"),
    [
        ("tests/unit/regiond/placement/test_placement.py", set(), "", "first"),
        ("tests/unit/command/test_cli_streams.py", {"slow"}, "", "slow"),
        ("tests/integration/ledger/test_ledger.py", {"database"}, "", "first"),
        ("tests/integration/rpc/test_rack_process.py", {"fault"}, "", "faults"),
        ("tests/integration/installation/test_dev_run.py", {"lab"}, "", "pages"),
        ("tests/contract/test_driver_contract.py", set(), "simulated", "first"),
        ("tests/contract/test_driver_contract.py", set(), "lxd-double", "first"),
        ("tests/contract/test_driver_contract.py", {"lab"}, "lxd", "first"),
        ("tests/contract/test_driver_contract.py", {"lab"}, "lxd-cluster-off", "lxd"),
        ("tests/contract/test_driver_contract.py", {"lab"}, "off-libvirt-qemu", "libvirt"),
        ("tests/contract/test_driver_contract.py", {"lab"}, "incus-7-cluster", "incus"),
        ("tests/contract/lxd/test_incus_slice.py", {"lab"}, "", "first"),
        ("tests/contract/running/test_console_contract.py", {"lab"}, "lxd", "lxd"),
        ("tests/contract/running/test_usage_contract.py", {"lab"}, "lxd", "lxd"),
        ("tests/browser/accounts/test_login_page.py", {"browser"}, "", "browser"),
        ("tests/browser/accounts/test_login_page.py", {"browser", "first_tier"}, "", "first"),
        ("tests/browser/hosts/test_real_lxd.py", {"browser", "lab"}, "", "lxd"),
        ("tests/browser/hosts/test_real_libvirt.py", {"browser", "lab"}, "", "libvirt"),
        ("tests/faults/schedules/test_schedules.py", {"fault"}, "", "first"),
        ("tests/faults/matrix/test_matrix_slice.py", {"fault"}, "", "faults"),
        ("tests/faults/network/test_wires.py", {"fault"}, "", "network"),
        ("tests/lab/clusters/test_lxd_cluster.py", {"lab"}, "", "lxd"),
        ("tests/lab/clusters/test_lxd_cluster.py", {"lab"}, "lxd-cluster", "lxd"),
        ("tests/lab/clusters/test_lxd_cluster.py", {"lab"}, "incus-6-cluster", "incus"),
        ("tests/faults/killed/test_killed_lxd.py", {"lab", "fault"}, "incus-6", "incus"),
        ("tests/lab/credentials/test_packet_capture.py", {"lab"}, "", "lxd"),
        ("tests/lab/hosts/test_ssh_host.py", {"lab"}, "", "libvirt"),
        ("tests/lab/deployment/test_deployment_lxd.py", {"lab", "boot"}, "", "boots"),
        ("tests/clients/test_juju.py", set(), "", "clients"),
        ("tests/pages/test_page_blocks.py", set(), "", "first"),
        ("tests/systemd/test_installed_guest.py", {"lab"}, "", "systemd"),
        ("tests/pages/test_pages_run.py", {"lab"}, "", "pages"),
        ("tests/pages/test_debian_packages.py", {"lab"}, "", "packages"),
        ("tests/pages/test_containers.py", {"lab"}, "", "packages"),
    ],
)
def test_each_test_has_an_area_that_collects_it(path: str, markers: set[str], parameters: str, area: str) -> None:
    assert area_of(path, markers, parameters) == area
    assert path.startswith(AREAS[area].paths)


@pytest.mark.parametrize(
    ("area", "found", "markers", "repeated"),
    [
        (POSTGRESQL, "first", {"database"}, True),
        (POSTGRESQL, "slow", {"database", "needs_owner"}, True),
        (POSTGRESQL, "first", {"hypothesis"}, False),
        (LEAST_PRIVILEGE, "first", {"database"}, True),
        (LEAST_PRIVILEGE, "first", {"database", "needs_owner"}, False),
        (PROPERTIES, "first", {"hypothesis"}, True),
        (PROPERTIES, "slow", {"hypothesis", "slow"}, True),
        (PROPERTIES, "faults", {"hypothesis", "fault"}, False),
        (PROPERTIES, "first", {"database"}, False),
        ("slow", "first", {"hypothesis"}, None),
    ],
)
def test_some_areas_repeat_tests_of_others(area: str, found: str, markers: set[str], repeated: bool | None) -> None:
    assert repeats(area, found, markers) is repeated


@pytest.mark.parametrize(("area", "own"), [("first", True), ("slow", True), ("network", False)])
def test_workers_have_own_networks_unless_one_libvirtd_serves_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, area: str, own: bool
) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(runs, "call", lambda command, **_: commands.append(command))
    runs.run(AREAS[area], tmp_path / "results.jsonl")
    assert ["--own-networks" in command for command in commands] == [own]


@pytest.mark.parametrize("path", MAY_USE_THE_IMAGE, ids=lambda path: path.name)
def test_the_area_of_a_test_that_boots_the_image_builds_it(path: Path) -> None:
    """It is built outside the namespace of the tests, which has no network."""
    if "from tests.lab.support.guest_image import" in path.read_text("utf-8"):
        assert Need.IMAGES in AREAS[area_of(str(path.relative_to(CHECKOUT)), {"lab"}, "")].needs


def test_an_area_whose_hypervisor_cannot_be_installed_is_red(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(deep, "FOLDER", tmp_path)
    monkeypatch.setattr(deep, "install_incus", lambda: "no network")
    assert deep.deep(["incus"]) == 1
    said = capsys.readouterr().out
    assert "which could not be installed: no network" in said
    assert "incus: FAILED (could not run to its end), 0 tests" in said


def entry(days_ago: int) -> unstable.Entry:
    return unstable.Entry(seen_on=TODAY - timedelta(days=days_ago), commit="abc", test=f"tests/unit/test_{days_ago}.py")


def test_few_recent_unstable_tests_are_tolerated() -> None:
    assert unstable.problems([entry(days) for days in (0, 1, 2, 3, 7)], TODAY) == ()


def test_six_unstable_tests_are_too_many() -> None:
    assert unstable.problems([entry(1)] * 6, TODAY) == ("6 unstable tests are known; at most 5 may be",)


def test_an_unstable_test_is_repaired_within_a_week() -> None:
    assert unstable.problems([entry(8)], TODAY) == ("unstable since 2026-11-15: tests/unit/test_8.py",)


def test_a_recorded_failure_is_read_back_once(tmp_path: Path) -> None:
    failure = Failure(test="tests/unit/test_a.py::test_x[2026-01-01 a tests/b]", output="E  first\nE  last")
    for _ in range(2):
        unstable.record([failure], commit="abc123", path=tmp_path / "unstable.txt")
    (found,) = unstable.entries((tmp_path / "unstable.txt").read_text())
    assert (found.commit, found.test) == ("abc123", failure.test)
    assert "    E  last" in (tmp_path / "unstable.txt").read_text()


@pytest.mark.parametrize(
    ("test", "output", "chance"),
    [
        ("tests/integration/machines/bulk/test_bulk.py::test_cancel", "E   TimeoutError", True),
        (
            "tests/integration/machines/bulk/test_bulk.py::test_cancel",
            "    # the ledger is checked elsewhere\nE   TimeoutError",
            True,
        ),
        ("tests/integration/ledger/test_ledger.py::test_total", "E   TimeoutError", False),
        (
            "tests/integration/machines/bulk/test_bulk.py::test_cancel",
            "E   AssertionError: claims of host 1: 3, total 2",
            False,
        ),
        (
            "tests/integration/machines/bulk/test_bulk.py::test_cancel",
            ">   assert await deployment.ledger_problems() == []",
            False,
        ),
        ("tests/contract/test_ownership_contract.py::test_a[lxd]", "E   assert 1 == 2", False),
        ("tests/integration/accounts/test_roles.py::test_viewer", "E   assert 200 == 403", False),
    ],
)
def test_failures_about_claims_or_permissions_are_never_chance(test: str, output: str, *, chance: bool) -> None:
    assert unstable.may_be_chance(Failure(test=test, output=output)) is chance


def line(test: str, when: str, outcome: str, **more: object) -> Mapping[str, object]:
    return {"test": test, "when": when, "outcome": outcome, "seconds": 30.0, "reason": "", "output": "", **more}


def test_results_are_summed_up_by_folder(tmp_path: Path) -> None:
    one, two, three = (f"tests/unit/test_a.py::test_{name}" for name in ("one", "two", "three"))
    lines = [
        *(line(one, when, outcome) for when, outcome in (("call", "passed"), ("teardown", "phase"))),
        line(two, "call", "passed"),
        line(two, "teardown", "failed", output="task left running"),
        line("tests/lab/test_b.py::test_c", "setup", "skipped", reason="requires root"),
        line(three, "call", "passed"),  # interrupted before its teardown
    ]
    path = tmp_path / "results.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)) + '\n{"test": "cut o')
    found = read(path)
    assert found.passed == {one}
    assert found.failures == (Failure(test=two, output="task left running"),)
    assert [str(part) for part in found.parts] == [
        "tests/lab: 0 passed, 1 skipped (requires root), 0.5 min",
        "tests/unit: 2 passed, 1 failed, 2.5 min",
    ]
