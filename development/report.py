"""What a development run says when all is up. Text only: everything it tells was found out before."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from attrs import frozen

from development.first_vm import FirstVm
from development.local_libvirt import LocalLibvirt
from development.places import Places

_GB = 10**9
_WIDTH = 9


@frozen(kw_only=True)
class Outcome:
    """`domain_type` is what runs the VM: `kvm`, or `qemu` for emulation; None without a VM. `programs` is a folder."""

    places: Places
    libvirt: LocalLibvirt
    vm: FirstVm
    domain_type: str | None
    programs: Path


def report(outcome: Outcome) -> str:
    """The whole page, with a newline at its end."""
    places = outcome.places
    sections = [
        _section("host", _host_lines(outcome)),
        _section("VM", _vm_lines(outcome)),
        _section("API", [f"{places.api_url}/api/2.0/"]),
        _section("key", [f"{places.key_file} (the account admin's)"]),
        _section("logs", [str(places.logs)]),
    ]
    return "\n".join(["", "Innkeeper runs.", "", *sections, "", *_next_commands(outcome), ""])


def farewell(outcome: Outcome) -> str:
    """What is said when the run begins to stop: what it leaves."""
    machine, address = outcome.vm.machine, outcome.libvirt.address
    if machine is None:
        return "Stopping."
    return f"Stopping. The VM {machine['hostname']} belongs to libvirt ({address}); ./dev run finds it again."


def _host_lines(outcome: Outcome) -> list[str]:
    host, libvirt = outcome.vm.host, outcome.libvirt
    total, left = host["total"], host["available"]
    lines = [
        f"{host['name']} (id {host['id']}): {libvirt.address}, libvirt {libvirt.version}",
        f"{total['cores']} cores, {left['cores']} left; {total['memory']} MiB of memory, {left['memory']} MiB left",
    ]
    lines += [f"storage pool {pool['name']}: {_room(pool)}" for pool in host["storage_pools"]]
    if libvirt.network_problem:
        lines.append(f"VMs use QEMU's user-mode network: {libvirt.network_problem}")
    return lines


def _room(pool: dict[str, Any]) -> str:
    return f"{pool['total'] / _GB:.1f} GB, {pool['available'] / _GB:.1f} GB left ({pool['path']})"


def _vm_lines(outcome: Outcome) -> list[str]:
    machine, refusal = outcome.vm.machine, outcome.vm.refusal
    if machine is None:
        return [f"none: {refusal}"]
    made = "composed and started" if outcome.vm.made_now else "found again"
    lines = [
        f"{machine['hostname']} ({machine['system_id']}): {made}, power {machine['power_state']}",
        f"{machine['cpu_count']} core, {machine['memory']} MiB of memory; {_kind(outcome.domain_type)}",
    ]
    return [*lines, f"does not run: {refusal}"] if refusal else lines


def _kind(domain_type: str | None) -> str:
    if domain_type == "kvm":
        return "domain type 'kvm'"
    return f"domain type '{domain_type}': emulated, since there is no KVM here; slow, and real in every other way"


def _next_commands(outcome: Outcome) -> Iterable[str]:
    places, host_id = outcome.places, outcome.vm.host["id"]
    innkeeper = outcome.programs / "innkeeper"
    yield "Try, in another terminal:"
    yield f"  virsh -c {outcome.libvirt.address} list"
    yield f"  {innkeeper} login admin {places.api_url} @{places.key_file}"
    yield f"  {innkeeper} admin vm-host read {host_id}"
    yield f"  {innkeeper} admin vm-host compose {host_id} cores=1 memory=1024 storage=root:4"
    yield ""
    yield "Ctrl-C stops all that was started here; VMs run on."


def _section(title: str, lines: Iterable[str]) -> str:
    first, *rest = lines
    return "\n".join([f"  {title:<{_WIDTH}}{first}", *(f"  {'':<{_WIDTH}}{line}" for line in rest)])
