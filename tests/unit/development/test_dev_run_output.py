"""The pure parts of ./dev run: settings, parsed libvirt output and the printed report."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from development import held_capacity, local_libvirt, local_libvirtd, report
from development.first_vm import FirstVm
from development.local_libvirt import LocalLibvirt
from development.paths import CannotRun, read_paths
from development.report import Outcome
from development.run import only_run, ports_are_free

HOST: dict[str, Any] = {
    "id": 1,
    "name": "local",
    "total": {"cores": 4, "memory": 16000, "local_storage": 50_000_000_000},
    "capacity": {"cores": {"total": 4, "free": 3}, "memory_mib": {"total": 16000, "free": 14976}},
    "storage_pools": [
        {
            "name": "innkeeper",
            "path": "/var/lib/libvirt/images",
            "total": 50_000_000_000,
            "capacity": {"free": 46_000_000_000},
        }
    ],
    "used": {"cores": 1, "memory": 1024},
    "reserved_cores": 0,
    "reserved_memory": 0,
    "cpu_over_commit_ratio": 1.0,
    "memory_over_commit_ratio": 1.0,
}
MACHINE: dict[str, Any] = {
    "hostname": "first-ab12",
    "system_id": "k3xq7a",
    "status_name": "Ready",
    "cpu_count": 1,
    "memory": 1024,
    "power_state": "on",
}


def outcome(tmp_path: Path, **change: Any) -> Outcome:
    libvirt = LocalLibvirt(address="qemu:///system", version="9.0.0", pools=("innkeeper",))
    given: dict[str, Any] = {
        "paths": read_paths({"INNKEEPER_STATE": str(tmp_path)}, checkout=tmp_path),
        "libvirt": libvirt,
        "vm": FirstVm(host=HOST, machine=MACHINE, composed=True),
        "domain_type": "qemu",
        "programs": Path(".venv/bin"),
    }
    return Outcome(**{**given, **change})


def test_defaults_are_var_in_the_checkout_and_the_documented_ports(tmp_path: Path) -> None:
    found = read_paths({}, checkout=tmp_path)
    assert (found.state, found.http_port, found.rpc_port, found.database) == (tmp_path / "var", 5240, 5250, None)
    assert found.key_file == tmp_path / "var/admin.apikey"


@pytest.mark.parametrize("text", ["0", "65536", "-1", "http", "5240.0", "\u0665"])
def test_an_invalid_port_is_rejected_by_the_name_of_its_variable(tmp_path: Path, text: str) -> None:
    with pytest.raises(CannotRun, match=r"INNKEEPER_RPC_PORT is .*must be a number from 1 to 65535"):
        read_paths({"INNKEEPER_RPC_PORT": text}, checkout=tmp_path)


def test_the_two_ports_must_differ(tmp_path: Path) -> None:
    with pytest.raises(CannotRun, match="are both 5250"):
        read_paths({"INNKEEPER_HTTP_PORT": "5250"}, checkout=tmp_path)


def test_daemons_get_their_settings_and_the_caller_environment(tmp_path: Path) -> None:
    found = read_paths({"INNKEEPER_STATE": str(tmp_path), "INNKEEPER_RPC_PORT": "6000"}, checkout=tmp_path)
    given = found.daemon_environment({"INNKEEPER_LOG_LEVEL": "debug", "PYTHONPATH": "/x"}, database="postgresql:///a")
    assert given == {
        "INNKEEPER_LOG_LEVEL": "debug",
        "INNKEEPER_METRICS_HOST": "",
        "INNKEEPER_STATE": str(tmp_path),
        "INNKEEPER_DATABASE": "postgresql:///a",
        "INNKEEPER_HTTP_PORT": "5240",
        "INNKEEPER_RPC_PORT": "6000",
        "INNKEEPER_SIMULATED_HOSTS": str(tmp_path / "simulated-hosts"),
    }


@pytest.mark.parametrize(
    ("given", "rack"), [({}, {}), ({"INNKEEPER_METRICS_PORT": "7000"}, {"INNKEEPER_METRICS_PORT": "7010"}),
                        ({"INNKEEPER_METRICS_PORT": "0"}, {"INNKEEPER_METRICS_PORT": "0"})]
)  # fmt: skip
def test_region_and_rack_serve_metrics_on_ports_of_their_own(
    tmp_path: Path, given: dict[str, str], rack: dict[str, str]
) -> None:
    found = read_paths({**given, "INNKEEPER_STATE": str(tmp_path)}, checkout=tmp_path)
    region = found.daemon_environment(given, database="postgresql:///a")
    assert found.rack_environment(region) == {**region, **rack}


def test_a_state_folder_that_cannot_be_created_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CannotRun, match=r"cannot create the folder .*file/state"):
        read_paths({"INNKEEPER_STATE": str(tmp_path / "file/state")}, checkout=tmp_path).make()


def test_a_second_run_on_the_same_state_is_rejected(tmp_path: Path) -> None:
    lock = tmp_path / "dev-run.lock"
    rejected = pytest.raises(CannotRun, match=rf"another \./dev run \(process {os.getpid()}\)")
    with only_run(lock), rejected, only_run(lock):
        pass
    with only_run(lock):
        pass


def test_a_killed_run_releases_the_state_lock(tmp_path: Path) -> None:
    lock = tmp_path / "dev-run.lock"
    script = f"""if True:
        import os
        from pathlib import Path
        from development.run import only_run
        with only_run(Path({str(lock)!r})):
            os.kill(os.getpid(), 9)
    """
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    killed = subprocess.run([sys.executable, "-c", script], check=False, env=environment)
    assert killed.returncode == -9
    with only_run(lock):
        pass


def test_a_port_in_use_names_the_variable(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        found = read_paths({"INNKEEPER_HTTP_PORT": str(port)}, checkout=tmp_path)
        with pytest.raises(CannotRun, match=rf"port {port} is not free .*set INNKEEPER_HTTP_PORT to another port\.$"):
            ports_are_free(found)


def test_root_uses_the_system_libvirt_and_others_the_session() -> None:
    assert local_libvirt.address_for(0) == "qemu:///system"
    assert local_libvirt.address_for(1000) == "qemu:///session"


def test_disks_go_to_the_default_folder_of_libvirt() -> None:
    assert local_libvirt.pool_folder(0, {"HOME": "/root"}) == Path("/var/lib/libvirt/images")
    assert local_libvirt.pool_folder(1000, {"HOME": "/home/ada"}) == Path("/home/ada/.local/share/libvirt/images")
    assert local_libvirt.pool_folder(1000, {"XDG_DATA_HOME": "/data"}) == Path("/data/libvirt/images")


def test_a_configured_namespaces_setting_is_not_changed(tmp_path: Path) -> None:
    settings = tmp_path / "qemu.conf"
    settings.write_text('namespaces = [ "mount" ]\n')
    assert local_libvirtd.add_setting(settings) is False
    assert settings.read_text() == 'namespaces = [ "mount" ]\n'


def test_a_commented_setting_is_ignored_and_the_new_one_added_once(tmp_path: Path) -> None:
    settings = tmp_path / "qemu.conf"
    settings.write_text('#namespaces = [ "mount" ]')
    assert local_libvirtd.add_setting(settings) is True
    assert local_libvirtd.add_setting(settings) is False
    assert settings.read_text().splitlines()[0] == '#namespaces = [ "mount" ]'
    assert settings.read_text().splitlines()[-1] == "namespaces = []"


def test_bridge_and_attached_devices_of_a_network(tmp_path: Path) -> None:
    xml = "<network><name>default</name><bridge name='virbr0'/><ip address='192.168.122.1'/></network>"
    assert local_libvirt.bridge_of(xml) == ("virbr0", "192.168.122.1")
    assert local_libvirt.attached("virbr0", tmp_path) == ()
    (tmp_path / "virbr0/brif/vnet3").mkdir(parents=True)
    assert local_libvirt.attached("virbr0", tmp_path) == ("vnet3",)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may bind port 53")
def test_only_an_unused_bridge_is_a_leftover(tmp_path: Path) -> None:
    address = "127.73.20.9"  # unused: systemd-resolved has 127.0.0.53
    assert not local_libvirt.is_leftover("virbr0", address, tmp_path), "it does not exist"
    (tmp_path / "virbr0/bridge").mkdir(parents=True)
    assert local_libvirt.is_leftover("virbr0", address, tmp_path)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as served:
        served.bind((address, 53))
        assert not local_libvirt.is_leftover("virbr0", address, tmp_path), "a DNS server runs on it"
    (tmp_path / "virbr0/brif/vnet3").mkdir(parents=True)
    assert not local_libvirt.is_leftover("virbr0", address, tmp_path), "a guest is attached"


def test_the_report_names_capacity_vm_address_key_and_next_commands(tmp_path: Path) -> None:
    text = report.report(outcome(tmp_path))
    for expected in (
        "local (id 1): qemu:///system, libvirt 9.0.0",
        "4 cores, 3 free; 16000 MiB memory, 14976 MiB free",
        "storage pool innkeeper: 50.0 GB, 46.0 GB free (/var/lib/libvirt/images)",
        "first-ab12 (k3xq7a): composed and started, power on",
        "domain type 'qemu': emulated and slow, because this machine has no KVM",
        "http://127.0.0.1:5240/MAAS/api/2.0/",
        f"{tmp_path}/admin.apikey",
        "virsh -c qemu:///system list",
        f".venv/bin/innkeeper login admin http://127.0.0.1:5240/MAAS @{tmp_path}/admin.apikey",
        ".venv/bin/innkeeper vm-host read 1",
    ):
        assert expected in text


def test_the_report_says_found_for_an_existing_vm_and_names_kvm(tmp_path: Path) -> None:
    again = FirstVm(host=HOST, machine=MACHINE, composed=False)
    text = report.report(outcome(tmp_path, vm=again, domain_type="kvm"))
    assert "found, power on" in text
    assert "domain type 'kvm'" in text
    assert "emulated" not in text
    assert "VMs remain in libvirt (qemu:///system)" in report.farewell(outcome(tmp_path))


def test_the_report_says_why_there_is_no_running_vm(tmp_path: Path) -> None:
    none = outcome(tmp_path, vm=FirstVm(host=HOST, machine=None, problem="needs 1 core, 0 free"), domain_type=None)
    assert "VM       none: needs 1 core, 0 free" in report.report(none)
    assert report.farewell(none) == "Stopping."
    machine = {**MACHINE, "power_state": "off"}
    off = outcome(tmp_path, vm=FirstVm(host=HOST, machine=machine, composed=True, problem="no network"))
    assert "composed, power off" in report.report(off)
    assert "not running: no network" in report.report(off)


def test_the_report_says_that_a_found_vm_is_as_it_was_before(tmp_path: Path) -> None:
    found = outcome(tmp_path, vm=FirstVm(host=HOST, machine=MACHINE, problem="host local cannot be reached"))
    assert "found, power on" in report.report(found)
    assert "not refreshed: host local cannot be reached" in report.report(found)


def test_a_vm_that_libvirt_lacks_is_reported_with_the_command_for_it(tmp_path: Path) -> None:
    missing = FirstVm(host=HOST, machine={**MACHINE, "status_name": "Missing"})
    text = report.report(outcome(tmp_path, vm=missing, domain_type=None))
    assert "first-ab12 (k3xq7a): libvirt has no such domain any more" in text
    assert "remove it: .venv/bin/innkeeper machine delete k3xq7a" in text
    assert "domain type" not in text


def test_the_report_says_why_vms_lack_the_libvirt_network(tmp_path: Path) -> None:
    libvirt = LocalLibvirt(address="qemu:///session", version="9.0.0", pools=("a",), network_problem="none here")
    assert "VMs use QEMU user-mode networking: none here" in report.report(outcome(tmp_path, libvirt=libvirt))


def test_only_accepted_connections_of_our_libvirtd_are_counted() -> None:
    sockets = """Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 11 /run/libvirt/libvirt-sock
0000000000000000: 00000003 00000000 00000000 0001 03 12 /run/libvirt/libvirt-sock
0000000000000000: 00000003 00000000 00000000 0001 03 13 /run/libvirt/libvirt-sock-ro
0000000000000000: 00000003 00000000 00000000 0001 03 14 /run/libvirt/libvirt-sock
0000000000000000: 00000003 00000000 00000000 0001 03 15
"""
    assert local_libvirtd.connections(sockets, frozenset({"11", "12", "13", "15"})) == 2


def holder(name: str, cores: int, **change: Any) -> dict[str, Any]:
    return {"identifier": name, "cpu_count": cores, "memory": 64, "system_id": None, **change}


def full(cores: int) -> dict[str, Any]:
    return {
        **HOST,
        "total": {"cores": 2, "memory": 16000},
        "used": {"cores": cores, "memory": 128},
    }


def test_taken_cores_are_shown_with_their_holders_and_a_way_out(tmp_path: Path) -> None:
    host = {**full(4), "available": {"cores": 0, "memory": 15872}}
    guests = (holder("builder", 1), holder("first-1234", 3))
    vm = FirstVm(host=host, machine=None, problem="needs 1 core, 0 free", guests=guests)
    lines = report.report(outcome(tmp_path, vm=vm, domain_type=None, others=("first-1234",))).splitlines()
    for expected in (
        "  VM       none: needs 1 core, 0 free",
        "           4 of 2 cores (overcommit ratio 1), held by:",
        "             first-1234: 3 cores, 64 MiB memory; of another or an earlier Innkeeper",
        "             builder: 1 core, 64 MiB memory; not Innkeeper's",
    ):
        assert expected in lines
    (way_out,) = [line for line in lines if "vm-host update" in line]
    assert way_out.endswith(
        "innkeeper vm-host update 1 cpu_over_commit_ratio=3    # lets VMs share what the others hold"
    )


def test_no_ratio_is_offered_that_does_not_suffice() -> None:
    needed = {"cores": 1, "memory": 1024}
    found, room = held_capacity.lines(full(20), [holder("big", 20)], needed)
    assert (found[-1], room) == ("Even an overcommit ratio of 10 is too low: delete some of them in libvirt.", None)
    assert held_capacity.lines(full(1), [holder("small", 1)], needed) == ([], None)
