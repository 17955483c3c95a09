"""`innkeeper import maas`: its options, secrets of Vault, and the plan in words and as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from common.errors import InnkeeperError, InvalidRequest
from innkeeper.arguments import Usage
from innkeeper.maas_import.command import read_plan, secrets_of, wanted, with_secrets
from innkeeper.maas_import.plan_text import as_html, lines_of
from regiond.maas.imports.region_state import KnownUser
from tests.maas_site.plans import EMPTY, HOST, SITE, WEB, machine, plan, planned

PATH = "bmc/7/power-parameters"
IN_VAULT = evolve(SITE, hosts=(evolve(HOST, key="", vault_paths=(PATH,)), SITE.hosts[1]))
CONFLICT = evolve(EMPTY, users={"olaf": KnownUser(username="olaf", email="x@example.com", is_admin=False)})


def document(**choices: str) -> Any:
    return planned(SITE, CONFLICT, choices).as_document()


@pytest.mark.parametrize(
    "words",
    ["--dump a.sql", "--dsn postgresql://a/b", "--url http://m/MAAS --key a:b:c", "--import 4", "--apply p.json",
     "--dump a.sql --database maasdb --plan p.json --html p.html --choose users:3=same --choose hosts:1=leave_out",
     "--dump a.sql --secret bmc/3/power-parameters=@k.json", "--url https://m --key - --ca-file ca.pem",
     "--import 4 --choose=users:3=same --json --profile mine", "--help"],
)  # fmt: skip
def test_options_that_belong_together_are_taken(words: str) -> None:
    wanted(words.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "Give one of --dump"),
        ("--plan p.json", "Give one of --dump"),
        ("--dump a.sql --dsn x", "Give one of --dump"),
        ("--dump a.sql --apply p.json", "Give one of --dump"),
        ("--import 4 --url http://m --key k", "Give one of --dump"),
        ("--apply p.json --plan q.json", "--apply carries a plan out"),
        ("--apply p.json --html q.html", "--apply carries a plan out"),
        ("--url http://m", "--url and --key belong together"),
        ("--dump a.sql --key k", "--url and --key belong together"),
        ("--url http://m --key k --secret a=@b", "--secret is for --dump and --dsn"),
        ("--dsn x --database maasdb", "--database is for --dump"),
        ("--dump a.sql --fingerprint 00", "--ca-file and --fingerprint are for --url"),
        ("--dump a.sql --ca-file ca.pem", "--ca-file and --fingerprint are for --url"),
        ("--import ../users", "--import needs the number of an import"),
        ("--import 4 --choose users", "'users' is not KIND:ID=CHOICE"),
        ("--import 4 --choose users=same", "'users=same' is not KIND:ID=CHOICE"),
        ("--wrong", "unrecognized arguments: --wrong"),
        ("more", "unrecognized arguments: more"),
        ("--dum a.sql", "unrecognized arguments: --dum a.sql"),
        ("--dump", "expected one argument"),
    ],
)
def test_other_options_are_refused_with_the_help(words: str, message: str) -> None:
    with pytest.raises(Usage) as error:
        wanted(words.split())
    assert message in str(error.value)


def test_secrets_of_vault_come_to_their_hosts() -> None:
    found = with_secrets(IN_VAULT, {PATH: {"key": "K", "password": "P", "power_pass": "L", "other": "x"}})
    (first, second) = found.hosts
    assert (first.key, first.password, first.power_pass, first.vault_paths) == ("K", "P", "L", ())
    assert second == SITE.hosts[1]
    assert with_secrets(IN_VAULT, {}) == IN_VAULT


def test_a_path_that_no_host_has_is_refused() -> None:
    with pytest.raises(InvalidRequest) as error:
        with_secrets(IN_VAULT, {"bmc/9/power-parameters": {"key": "K"}})
    assert error.value.message.endswith(f"Paths that hosts have: {PATH}.")
    with pytest.raises(InvalidRequest) as error:
        with_secrets(SITE, {PATH: {"key": "K"}})
    assert error.value.message.endswith("Paths that hosts have: none.")


def test_a_secret_is_read_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "key.json"
    file.write_text('{"key": "PEM"}')
    assert secrets_of([f"{PATH}=@{file}"]) == {PATH: {"key": "PEM"}}


@pytest.mark.parametrize("text", [PATH, f"{PATH}=", f"{PATH}=@", "=@file", f"{PATH}=key"])
def test_a_secret_needs_a_path_and_a_file(text: str) -> None:
    with pytest.raises(Usage):
        secrets_of([text])


@pytest.mark.parametrize("content", ["", "PEM", "[]", "3", " " * 70_000 + "{}", '{"key": "'])
def test_a_file_without_a_secret_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "key.json"
    file.write_text(content)
    with pytest.raises(InvalidRequest):
        secrets_of([f"{PATH}=@{file}"])
    with pytest.raises(InnkeeperError, match="Cannot read"):
        secrets_of([f"{PATH}=@{tmp_path / 'missing'}"])


def test_the_plan_in_words_begins_with_numbers_and_decisions() -> None:
    lines = list(lines_of(document()))
    assert lines[0] == "Import 1 from site.sql, MAAS 3.7:"
    table = {line.split()[0]: line.split()[1:] for line in lines[2:10]}
    assert (table["users"], table["machines"]) == (["1", "-", "1", "2"], ["2", "-", "-", "-"])
    (conflict,) = [line for line in lines if "users:3" in line]
    assert conflict.endswith("Choices: same, rename=NAME, leave_out.")
    assert "  users:4  ines: The account is deactivated in MAAS; its machines have no owner here." in lines
    assert "  machines:aaaaa1  web: deployed machine of kvm-1, VM web." in lines
    assert any(line.endswith("(chosen: same)") for line in lines_of(document(users_3="same")))


def test_many_new_objects_are_cut_short() -> None:
    many = evolve(SITE, machines=tuple(evolve(WEB, system_id=f"a{n:05}", hostname=f"web-{n}") for n in range(50)))
    lines = list(lines_of(plan(many).as_document()))
    assert sum(line.startswith("  machines:") for line in lines) == 20
    assert "  … and 30 more: --plan FILE has all." in lines


def test_the_page_of_a_plan_has_nothing_that_a_browser_would_run() -> None:
    wrong = evolve(machine(hostname="<script>x</script>", instance='"><img src=x>'), origin=SITE.origin)
    found = as_html(plan(wrong).as_document())
    assert "<script" not in found
    assert "<img" not in found
    assert "&lt;script&gt;x&lt;/script&gt;" in found
    origin = evolve(SITE.origin, label="<b>", version="<i>", name="<u>", uuid="<s>")
    plain = as_html(plan(evolve(SITE, origin=origin)).as_document())
    assert not [tag for tag in ("<b>", "<i>", "<u>", "<s>") if tag in plain]


def test_the_page_of_a_plan_has_every_object() -> None:
    found = as_html(document())
    assert all(f"<td>{one.source_id}</td>" in found for one in plan().items)
    assert "same, rename=NAME, leave_out" in found


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is no plan"),
        ("[1]", "is no plan"),
        ('{"import": "x"}', "is no plan"),
        ("{}", "has no 'import'"),
        ('{"import": 3}', "has no 'source'"),
    ],
)
def test_a_file_that_is_no_plan_is_refused(tmp_path: Path, content: str, words: str) -> None:
    file = tmp_path / "plan.json"
    file.write_text(content)
    with pytest.raises(InvalidRequest, match=words):
        read_plan(file)
    with pytest.raises(InvalidRequest, match="Cannot read"):
        read_plan(tmp_path / "missing")
