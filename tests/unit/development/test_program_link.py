"""The link to `innkeeper` that `./dev run` makes."""

from __future__ import annotations

from pathlib import Path

import pytest

from development.program_link import ensure, folder_of


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "checkout/.venv/bin/innkeeper"
    path.parent.mkdir(parents=True)
    path.touch()
    return path


def test_a_folder_on_the_path_gets_a_link_once(program: Path, tmp_path: Path) -> None:
    folder = tmp_path / "home/.local/bin"
    for _ in range(2):
        said = ensure(program, folder, {"PATH": f"/usr/bin:{folder}"})
        assert said == f"innkeeper is {folder}/innkeeper, a link to {program}; it remains after the run"
    assert (folder / "innkeeper").readlink() == program


def test_another_file_is_never_replaced(program: Path, tmp_path: Path) -> None:
    (tmp_path / "innkeeper").write_text("mine")
    said = ensure(program, tmp_path, {"PATH": str(tmp_path)})
    assert said == f'{tmp_path}/innkeeper is another file; for this checkout: export PATH="{program.parent}:$PATH"'
    assert (tmp_path / "innkeeper").read_text() == "mine"


def test_a_link_to_another_checkout_stays_unless_it_is_broken(program: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.touch()
    (tmp_path / "innkeeper").symlink_to(other)
    assert "is another file" in ensure(program, tmp_path, {"PATH": str(tmp_path)})
    other.unlink()
    assert "a link to" in ensure(program, tmp_path, {"PATH": str(tmp_path)})


def test_a_folder_that_is_not_on_the_path_gets_no_link(program: Path, tmp_path: Path) -> None:
    said = ensure(program, tmp_path / "bin", {"PATH": "/usr/bin"})
    assert said == f'for innkeeper without a path: export PATH="{program.parent}:$PATH"'
    assert not (tmp_path / "bin").exists()


def test_a_program_on_the_path_needs_no_link(program: Path, tmp_path: Path) -> None:
    assert ensure(program, tmp_path, {"PATH": str(program.parent)}) == f"innkeeper is {program}"


def test_root_has_a_folder_of_the_system() -> None:
    assert folder_of({"HOME": "/root"}, is_root=True) == Path("/usr/local/bin")
    assert folder_of({"HOME": "/home/ann"}, is_root=False) == Path("/home/ann/.local/bin")
