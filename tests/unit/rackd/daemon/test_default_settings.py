"""The commented settings files list every setting with its default."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from common.process.settings import described, load
from rackd.settings import RackSettings
from regiond.process.settings import RegionSettings

FOLDER = Path(__file__).resolve().parents[4] / "etc"
DAEMONS = pytest.mark.parametrize(("name", "kind"), [("regiond", RegionSettings), ("rackd", RackSettings)])
WITHOUT_DEFAULT = {"database"}  # the file shows an example


def uncommented(name: str, folder: Path) -> Path:
    text = (FOLDER / f"{name}.toml").read_text()
    path = folder / f"{name}.toml"
    path.write_text(re.sub(r"^#(?=[a-z_]+ = )", "", text, flags=re.MULTILINE))
    return path


@DAEMONS
def test_the_unchanged_file_gives_the_defaults(name: str, kind: type[Any]) -> None:
    assert load(kind, file=FOLDER / f"{name}.toml", environment={}) == kind()


@DAEMONS
def test_every_line_uncommented_is_the_default(name: str, kind: type[Any], tmp_path: Path) -> None:
    loaded = load(kind, file=uncommented(name, tmp_path), environment={})
    keys = described(kind).keys() - WITHOUT_DEFAULT
    assert {key: getattr(loaded, key) for key in keys} == {key: getattr(kind(), key) for key in keys}


@DAEMONS
def test_every_key_is_in_the_file(name: str, kind: type[Any], tmp_path: Path) -> None:
    shown = re.findall(r"^([a-z_]+) = ", uncommented(name, tmp_path).read_text(), flags=re.MULTILINE)
    assert sorted(shown) == sorted(described(kind))


@pytest.mark.parametrize(("kind", "other"), [(RegionSettings, RackSettings), (RackSettings, RegionSettings)])
def test_a_daemon_ignores_the_variables_of_the_other(kind: type[Any], other: type[Any]) -> None:
    foreign = described(other).keys() - described(kind).keys()
    assert foreign
    assert load(kind, file=None, environment={f"INNKEEPER_{key.upper()}": "its own" for key in foreign}) == kind()


def test_the_database_example_is_valid(tmp_path: Path) -> None:
    loaded = load(RegionSettings, file=uncommented("regiond", tmp_path), environment={})
    assert loaded.database == "postgresql://innkeeper-regiond@/innkeeper?host=/var/run/postgresql"
