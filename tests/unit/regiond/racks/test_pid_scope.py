"""Two region processes are neighbours only on one machine: by its id, which the systemd unit does not hide."""

from __future__ import annotations

from pathlib import Path

import pytest

from regiond.racks.reach.heartbeat import pid_scope

ONE, TWO = "a" * 32, "b" * 32


def machine(folder: Path, machine_id: str | None, boot_id: str | None = None) -> Path:
    """Returns a folder with these files, as a unit with `ProcSubset=pid` sees them without a boot id."""
    for name, text in (("etc/machine-id", machine_id), ("proc/sys/kernel/random/boot_id", boot_id)):
        if text is not None:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}\n")
    return folder


def test_two_machines_of_one_host_name_are_no_neighbours(tmp_path: Path) -> None:
    assert pid_scope(machine(tmp_path / "1", ONE)) != pid_scope(machine(tmp_path / "2", TWO))
    assert pid_scope(machine(tmp_path / "3", ONE)) == pid_scope(machine(tmp_path / "4", ONE))


def test_another_boot_is_another_scope_where_it_is_known(tmp_path: Path) -> None:
    assert pid_scope(machine(tmp_path / "1", ONE, "x")) != pid_scope(machine(tmp_path / "2", ONE, "y"))


@pytest.mark.parametrize("machine_id", [None, "", "uninitialized"])
def test_without_a_machine_id_nobody_is_a_neighbour(tmp_path: Path, machine_id: str | None) -> None:
    folder = machine(tmp_path, machine_id)
    assert pid_scope(folder) != pid_scope(folder)
