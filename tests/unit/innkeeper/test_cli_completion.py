"""What can follow on a command line."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from innkeeper.api_description import read_description
from innkeeper.completion.candidates import Completion, Known, ObjectQuery, complete, matching
from innkeeper.completion.command import split_line
from innkeeper.completion.objects import FORGOTTEN_S, cache_folder, candidates_of, names_of, objects_of
from innkeeper.profiles import Profile
from regiond.api.description.describe import describe
from regiond.api.resources.registry import SERVED

DESCRIPTION = read_description(describe(SERVED, origin="http://region"))
KNOWN = Known(profiles=("admin", "lab"), default="admin", description=lambda _: DESCRIPTION)


def words_of(line: str, known: Known = KNOWN) -> list[str]:
    words = split_line(line)
    return [one.word for one in matching(complete(words, known).candidates, words[-1])]


def completed(line: str) -> Completion:
    return complete(split_line(line), KNOWN)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("innkeeper vm-host", ["vm-hosts", "vm-host"]),
        ("innkeeper lo", ["login", "logout"]),
        ("innkeeper li", ["list"]),
        ("innkeeper adm", ["admin"]),
        ("innkeeper lab zon", ["zones", "zone"]),
        ("innkeeper completion ", ["bash", "fish", "zsh"]),
        ("innkeeper region ch", ["check"]),
        ("innkeeper profiles default ", ["admin", "lab"]),
        ("innkeeper logout l", ["lab"]),
        ("innkeeper vm-host comp", ["compose"]),
        ("innkeeper admin --json vm-host comp", ["compose"]),
        ("innkeeper vm-host compose 1 pinned", ["pinned_cores="]),
        ("innkeeper vm-host delete 1 decompose=", ["decompose=true", "decompose=false"]),
        ("innkeeper machine power-off x stop_mode=h", ["stop_mode=hard"]),
        ("innkeeper machines read --wa", ["--wait", "--watch"]),
        ("innkeeper --profile l", ["lab"]),
        ("innkeeper --profile=l", ["--profile=lab"]),
        ("innkeeper machines power-off --filter host", ["hostname="]),
        ("innkeeper vm-host compose 1 --idem", ["--idempotency-key"]),
        ("innkeeper --idempotency-key k vm-host comp", ["compose"]),
        ("innkeeper vm-hosts read --format ", ["json", "table", "yaml"]),
        ("innkeeper --format json vm-host comp", ["compose"]),
        ("innkeeper nonsense more ", []),
        ("innkeeper 'vm-host' 'comp", ["compose"]),
    ],
)
def test_words_of_a_command_are_completed(line: str, expected: list[str]) -> None:
    assert words_of(line) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("innkeeper vm-host read ", ObjectQuery(path="vm-hosts/", key="id")),
        ("innkeeper machine delete ab", ObjectQuery(path="machines/", key="system_id")),
        ("innkeeper machine delete a b ", ObjectQuery(path="machines/", key="system_id")),
        ("innkeeper zone read ", ObjectQuery(path="zones/", key="name")),
        ("innkeeper vlan read 3 ", ObjectQuery(path="fabrics/3/vlans/", key="vid")),
        ("innkeeper vlan read ", ObjectQuery(path="fabrics/", key="id")),
        ("innkeeper interface read ", ObjectQuery(path="nodes/", key="system_id")),
        ("innkeeper kept-disk delete ", ObjectQuery(path="kept-disks/", key="id", by_name=False)),
        (
            "innkeeper machine attach-disk x kept_disk=",
            ObjectQuery(path="kept-disks/", key="id", prefix="kept_disk=", by_name=False),
        ),
        (
            "innkeeper machine grow-disk web disk=s",
            ObjectQuery(path="nodes/web/blockdevices/", key="id", prefix="disk="),
        ),
        ("innkeeper machine update x zone=d", ObjectQuery(path="zones/", key="name", prefix="zone=")),
        ("innkeeper zone delete x move_to=", ObjectQuery(path="zones/", key="name", prefix="move_to=")),
        (
            "innkeeper machines read --filter=pool=",
            ObjectQuery(path="resourcepools/", key="name", prefix="--filter=pool="),
        ),
        ("innkeeper vm-host compose 1 cores=2 ", None),
        ("innkeeper vm-hosts read ", None),
    ],
)
def test_objects_are_listed_where_a_command_names_one(line: str, expected: ObjectQuery | None) -> None:
    assert completed(line).objects == expected


def test_files_follow_an_at_sign() -> None:
    assert completed("innkeeper login admin http://region @va").files_prefix == "@"
    assert completed("innkeeper vm-host update x tags@=va").files_prefix == "tags@="


def test_names_come_with_ids_and_ids_with_names() -> None:
    names = names_of([{"id": 4, "name": "west", "total": {}}, {"id": 5, "name": None}, "odd"])
    found = candidates_of(names, ObjectQuery(path="vm-hosts/", key="id"))
    assert [(one.word, one.about) for one in found] == [("west", "4"), ("4", "west"), ("5", "")]


def test_objects_without_names_are_offered_by_id() -> None:
    names = names_of([{"id": 1, "hostname": "web"}, {"id": 2, "hostname": "2"}])
    found = candidates_of(names, ObjectQuery(path="kept-disks/", key="id", by_name=False))
    assert [(one.word, one.about) for one in found] == [("1", "web"), ("2", "2")]


def test_words_that_a_shell_would_interpret_are_not_offered() -> None:
    names = names_of([{"id": 1, "name": "$(reboot)"}, {"id": 2, "name": "a b"}, {"id": 3, "name": "c\n"}])
    found = candidates_of(names, ObjectQuery(path="vm-hosts/", key="id"))
    assert [one.word for one in matching(found, "")] == ["1", "2", "3"]


def test_without_a_profile_only_own_commands_are_known() -> None:
    assert "vm-host" not in words_of("innkeeper ", Known())
    assert "login" in words_of("innkeeper ", Known())
    assert words_of("innkeeper vm-host ", Known()) == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("innkeeper", [""]),
        ("innkeeper ", [""]),
        ("innkeeper a  b", ["a", "b"]),
        ("innkeeper 'a b' c ", ["a b", "c", ""]),
        ("innkeeper 'a b", ["a b"]),
    ],
)
def test_a_line_is_split_like_the_shell_does(line: str, expected: list[str]) -> None:
    assert split_line(line) == expected


def test_the_cache_keeps_no_lists_of_keys_that_are_not_used_any_more(tmp_path: Path) -> None:
    environment = {"XDG_CACHE_HOME": str(tmp_path)}
    folder = cache_folder(environment)
    folder.mkdir()
    for name, age_s in (("old.json", FORGOTTEN_S + 60), ("new.json", FORGOTTEN_S - 60)):
        (folder / name).write_text("{}")
        os.utime(folder / name, (time.time() - age_s,) * 2)
    profile = Profile(name="admin", url="http://127.0.0.1:1/MAAS/api/2.0/", key="a:b:c")
    assert objects_of(profile, ObjectQuery(path="vm-hosts/", key="id"), environment, deadline_s=2.0) == []
    left = {one.name for one in folder.iterdir()}
    assert "new.json" in left
    assert "old.json" not in left
    assert len(left) == 2
