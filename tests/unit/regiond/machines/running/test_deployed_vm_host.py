"""Deployments that make VM hosts: the cloud-config, the program that runs in the guest, and the new host."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.resources import files
from pathlib import Path
from urllib.parse import parse_qs, urlencode

import pytest

from common.addresses.report_url import ReportAddress, ReportPage, read_report_path, without_secret
from common.errors import DeploymentFailed, InvalidRequest
from common.hosts.vm_host_report import LONGEST_PROBLEM, VmHostReport, read_vm_host_report
from common.values import DriverType
from rackd.reports.report_request import MAX_BODY_BYTES
from regiond.machines.running.deployment import vm_host
from regiond.machines.running.deployment.vm_host.cloud_config import vm_host_config
from regiond.machines.running.deployment.vm_host.model import VmHostSetup, new_host
from tests.unit.support.machine_samples import MACHINE

SECRET = "s" * 43
DRIVERS = (DriverType.LXD, DriverType.LIBVIRT)
GOOD = VmHostReport(address="10.0.0.5", fingerprint="ab12")


@contextmanager
def region(status: int = 204) -> Iterator[tuple[str, list[dict[str, list[str]]]]]:
    """A server that answers with `status`; yields its URL and the forms that it has received."""
    received: list[dict[str, list[str]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the library's name
            received.append(parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode()))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/vm-host", received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def run_in_guest(folder: Path, url: str, script: str, seconds: int = 30) -> int:
    (folder / "set_up.sh").write_text(script)
    (folder / "report-to").write_text(f"{url}\n")
    program = str(files(vm_host).joinpath("prepare_vm_host.py"))
    command = [sys.executable, program, str(folder / "report-to"), str(folder / "set_up.sh"), str(seconds)]
    return subprocess.run(command, check=False, timeout=60).returncode


def test_the_guest_reports_the_fingerprint_and_its_address(tmp_path: Path) -> None:
    with region() as (url, received):
        assert run_in_guest(tmp_path, url, "echo starting\necho fingerprint=SHA256:ab+/9\n") == 0
    assert received == [{"address": ["127.0.0.1"], "fingerprint": ["SHA256:ab+/9"]}]


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("echo no network\nexit 3\n", "no network\n\nIt ended with status 3."),
        ("echo fingerprint=\n", "fingerprint=\n\nIt ended with status 0."),
        ("echo waiting\nexec sleep 100\n", "waiting\n\nIt did not end within 1 s."),
    ],
)
def test_the_guest_reports_why_it_failed(tmp_path: Path, script: str, problem: str) -> None:
    with region() as (url, received):
        assert run_in_guest(tmp_path, url, script, seconds=1) == 1
    assert received == [{"address": ["127.0.0.1"], "problem": [problem]}]


def test_a_report_fits_into_what_a_rack_takes(tmp_path: Path) -> None:
    with region() as (url, received):
        script = f"i=0; while [ $i -lt 300 ]; do echo {chr(0x1F600) * 10}; i=$((i+1)); done; exit 3"
        assert run_in_guest(tmp_path, url, script) == 1
    (problem,) = received[0]["problem"]
    assert problem.endswith("It ended with status 3.")
    assert MAX_BODY_BYTES // 2 < len(urlencode({"address": "127.0.0.1", "problem": problem})) <= MAX_BODY_BYTES


def test_a_refused_report_is_not_repeated(tmp_path: Path) -> None:
    with region(status=404) as (url, received):
        assert run_in_guest(tmp_path, url, "echo fingerprint=ab\n") == 1
    assert len(received) == 1


@pytest.mark.parametrize("script", ["lxd.sh", "libvirt.sh"])
def test_the_scripts_are_valid_for_every_shell(script: str) -> None:
    text = files(vm_host).joinpath(script).read_text()
    subprocess.run(["dash", "-n"], input=text, text=True, check=True)


@pytest.mark.parametrize("driver", DRIVERS)
def test_the_cloud_config_has_program_script_and_key_for_root_only(driver: DriverType) -> None:
    config = vm_host_config(driver, "PUBLIC\n", "http://region/report/vm-host", limit_s=1000)
    written = {one["path"]: one for one in config["write_files"]}
    assert {one["permissions"] for one in written.values()} == {"0600"}
    assert written["/run/innkeeper/trusted"]["content"] == "PUBLIC\n"
    (command,) = config["runcmd"]
    assert command[:2] == ["python3", "/run/innkeeper/prepare_vm_host.py"]
    assert set(command[1:4]) <= set(written)
    assert written[command[2]]["content"] == "http://region/report/vm-host\n"
    assert not any("report/vm-host" in word for word in command), "every process of the guest can read arguments"
    assert int(command[4]) < 1000, "the rest of the time is for the boot"
    assert len(json.dumps(config)) < 16 * 1024


def test_a_new_host_has_name_zone_and_pool_of_the_machine_and_is_pinned() -> None:
    machine = MACHINE
    lxd = new_host(machine, VmHostSetup(driver=DriverType.LXD, public="CERT", report=GOOD), "KEY")
    assert (lxd.name, lxd.zone, lxd.pool) == (machine.hostname, machine.zone.name, machine.pool.name)
    assert (lxd.address, lxd.fingerprint) == ("https://10.0.0.5:8443", "ab12")
    six = VmHostReport(address="fd00::5", fingerprint="SHA256:x")
    libvirt = new_host(machine, VmHostSetup(driver=DriverType.LIBVIRT, public="ssh-ed25519 A", report=six), "KEY")
    assert libvirt.address == "qemu+ssh://innkeeper@[fd00::5]/system"
    assert libvirt.on_machine is not None
    assert libvirt.on_machine.machine_id == machine.id
    assert libvirt.on_machine.ssh_key_pair is not None
    assert libvirt.on_machine.key_pair is None


@pytest.mark.parametrize(
    ("report", "reason"),
    [
        (None, "did not report that LXD was set up"),
        (VmHostReport(address="10.0.0.5", fingerprint="", problem="no snap"), "could not be set up in it: no snap"),
    ],
)
def test_a_hypervisor_that_does_not_work_fails_the_deployment(report: VmHostReport | None, reason: str) -> None:
    with pytest.raises(DeploymentFailed, match=reason):
        new_host(MACHINE, VmHostSetup(driver=DriverType.LXD, public="CERT", report=report), "KEY")


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"address": "everywhere", "fingerprint": "ab"}, "address"),
        ({"fingerprint": "ab"}, "address"),
        ({"address": "10.0.0.5", "fingerprint": "a b"}, "fingerprint"),
    ],
)
def test_an_unusable_report_is_rejected(fields: dict[str, str], wrong: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        read_vm_host_report(fields)
    assert set(raised.value.fields) == {wrong}


def test_a_problem_is_bounded_and_has_no_control_characters() -> None:
    report = read_vm_host_report({"address": "10.0.0.5", "fingerprint": "ab", "problem": "\x1b[1m" + "x" * 9000})
    assert report.fingerprint == ""
    assert report.problem == "x" * LONGEST_PROBLEM


def test_the_paths_of_reports() -> None:
    for page in ReportPage:
        address = ReportAddress(deployment_id=7, secret=SECRET, page=page)
        assert read_report_path(f"/MAAS/report/7/{SECRET}{page}") == address
    for path in (f"/MAAS/report/7/{SECRET}/", f"/MAAS/report/7/{SECRET}/vm-hosts", f"/x/MAAS/report/7/{SECRET}"):
        assert read_report_path(path) is None


@pytest.mark.parametrize("rest", ["", "/", "/vm-host", "/user-data", "/vm-host/", "/a/b/c"])
def test_no_log_shows_the_secret_of_a_report(rest: str) -> None:
    assert without_secret(f"/MAAS/report/7/{SECRET}{rest}") == "/MAAS/report/7/…"


def test_other_paths_are_logged_as_they_are() -> None:
    assert without_secret("/MAAS/api/2.0/machines/ab12cd/") == "/MAAS/api/2.0/machines/ab12cd/"
