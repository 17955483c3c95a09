"""Formats what `./dev run` prints when everything runs. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from attrs import field, frozen

from development import first_vm, held_capacity
from development.first_vm import FirstVm
from development.local_libvirt import LocalLibvirt
from development.paths import RunPaths

_GB = 10**9
_WIDTH = 9


@frozen(kw_only=True)
class Outcome:
    """`domain_type`: `kvm`, or `qemu` for emulation; None without a VM. `programs`: the folder of the commands."""

    paths: RunPaths
    libvirt: LocalLibvirt
    vm: FirstVm
    domain_type: str | None
    programs: Path
    others: tuple[str, ...] = ()  # names of VMs of another Innkeeper
    command: str = ""  # how `innkeeper` can be called
    new_password: str | None = field(default=None, repr=False)  # of the account admin; shown only when it is made


def report(outcome: Outcome) -> str:
    """Returns the whole text, with a newline at its end."""
    paths = outcome.paths
    sections = [
        _section("host", _host_lines(outcome)),
        _section("VM", _vm_lines(outcome)),
        _section("pages", [f"{paths.api_url}/ui/"]),
        _section("API", [f"{paths.api_url}/api/2.0/"]),
        _section("key", [f"{paths.key_file} (account admin)"]),
        _section("password", _password_lines(outcome)),
        *([_section("command", [outcome.command])] if outcome.command else []),
        _section("logs", [str(paths.logs)]),
    ]
    return "\n".join(["", "Innkeeper is running.", "", *sections, "", *_next_commands(outcome), ""])


def farewell(outcome: Outcome) -> str:
    """Returns the line printed when the run begins to stop: what remains."""
    if outcome.vm.machine is None:
        return "Stopping."
    return f"Stopping. VMs remain in libvirt ({outcome.libvirt.address}); the next ./dev run finds them."


def _password_lines(outcome: Outcome) -> list[str]:
    lines = [f"{outcome.paths.password_file} (account admin)"]
    return lines if outcome.new_password is None else [*lines, f"{outcome.new_password} (shown only this time)"]


def _host_lines(outcome: Outcome) -> list[str]:
    host, libvirt = outcome.vm.host, outcome.libvirt
    lines = [
        f"{host['name']} (id {host['id']}): {libvirt.address}, libvirt {libvirt.version}",
        _free(host["capacity"]),
    ]
    lines += [f"storage pool {pool['name']}: {_pool_size(pool)}" for pool in host["storage_pools"]]
    if libvirt.network_problem:
        lines.append(f"VMs use QEMU user-mode networking: {libvirt.network_problem}")
    return lines


def _free(capacity: dict[str, Any] | None) -> str:
    if capacity is None:
        return "capacity unknown until its first successful refresh"
    cores, memory = capacity["cores"], capacity["memory_mib"]
    return f"{cores['total']} cores, {cores['free']} free; {memory['total']} MiB memory, {memory['free']} MiB free"


def _pool_size(pool: dict[str, Any]) -> str:
    return f"{pool['total'] / _GB:.1f} GB, {pool['capacity']['free'] / _GB:.1f} GB free ({pool['path']})"


def _vm_lines(outcome: Outcome) -> list[str]:
    machine, problem = outcome.vm.machine, outcome.vm.problem
    if machine is None:
        return [f"none: {problem}", *held_capacity.lines(*_holding(outcome), others=outcome.others)[0]]
    name = f"{machine['hostname']} ({machine['system_id']})"
    if first_vm.is_missing(machine):
        return [f"{name}: libvirt has no such domain any more", _removal(outcome, machine)]
    how = ("composed" if problem else "composed and started") if outcome.vm.composed else "found"
    size = f"{machine['cpu_count']} core, {machine['memory']} MiB memory"
    kind = f"; {_emulation(outcome.domain_type)}" if outcome.domain_type else ""
    lines = [f"{name}: {how}, power {machine['power_state']}", f"{size}{kind}"]
    return [*lines, f"not {'running' if outcome.vm.composed else 'refreshed'}: {problem}"] if problem else lines


def _removal(outcome: Outcome, machine: dict[str, Any]) -> str:
    return f"remove it: {outcome.programs / 'innkeeper'} machine delete {machine['system_id']}"


def _holding(outcome: Outcome) -> tuple[dict[str, Any], Iterable[dict[str, Any]], dict[str, int]]:
    return outcome.vm.host, outcome.vm.guests, {"cores": first_vm.CORES, "memory": first_vm.MEMORY_MIB}


def _emulation(domain_type: str | None) -> str:
    if domain_type == "kvm":
        return "domain type 'kvm'"
    return f"domain type '{domain_type}': emulated and slow, because this machine has no KVM"


def _next_commands(outcome: Outcome) -> Iterable[str]:
    paths, host_id = outcome.paths, outcome.vm.host["id"]
    innkeeper = outcome.programs / "innkeeper"
    yield "Next, in another terminal (docs/tutorial/first-vm.md explains each step):"
    yield f"  virsh -c {outcome.libvirt.address} list"
    yield f"  {innkeeper} login admin {paths.api_url} @{paths.key_file}"
    yield f"  {innkeeper} vm-host read {host_id}"
    _, room = held_capacity.lines(*_holding(outcome)) if outcome.vm.machine is None else ((), None)
    if room is not None:
        yield f"  {innkeeper} vm-host update {host_id} {room}    # lets VMs share what the others hold"
    yield f"  {innkeeper} vm-host compose {host_id} cores=1 memory=1024 storage=root:4"
    yield ""
    yield "Ctrl-C stops everything started here; VMs keep running."


def _section(title: str, lines: Iterable[str]) -> str:
    first, *rest = lines
    return "\n".join([f"  {title:<{_WIDTH}}{first}", *(f"  {'':<{_WIDTH}}{line}" for line in rest)])
