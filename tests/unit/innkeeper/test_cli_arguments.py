"""Parsing of the command line."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from innkeeper.api_description import command_of, read_description
from innkeeper.arguments import Given, Options, Usage, parse_call, split_options
from innkeeper.command import main
from innkeeper.commands.enrolment import TOKEN_FIELDS
from innkeeper.commands.region_commands import KNOWN_FIELDS
from innkeeper.exit_status import ExitStatus
from regiond.__main__ import account_of_key, parser
from regiond.api.description.describe import describe
from regiond.api.resources.registry import RESOURCES
from tests.unit.support.cli_region import action, description, handler

ANY_FIELD = action("set_owner_data", "POST", op="set_owner_data", doc="Set.\n\n:param <key>: Optional. The value.")
OWNER_DATA = handler("MachineHandler", "machines/{system_id}/", ANY_FIELD, params=("system_id",))
DESCRIBED = read_description(description(extra=(OWNER_DATA,)))
OF_THE_REGION = read_description(describe(RESOURCES, origin="http://region.example"))
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,12}", fullmatch=True)
FIELDS = st.builds(Given, name=NAMES, value=st.text(max_size=40), from_file=st.booleans())


def typed(field: Given) -> str:
    return f"{field.name}{'@' if field.from_file else ''}={field.value}"


@given(st.text(min_size=1).filter(lambda text: "=" not in text), st.lists(FIELDS, max_size=6))
def test_words_become_the_request(name: str, fields: list[Given]) -> None:
    call = parse_call(DESCRIBED, ["machine", "set-owner-data", name, *map(typed, fields)])
    assert unquote(call.path) == f"machines/{name}/"
    assert call.path.count("/") == 2
    assert list(call.fields) == fields


@given(st.lists(st.text(max_size=12), max_size=6))
def test_any_words_are_a_call_or_a_usage_error(words: list[str]) -> None:
    try:
        plain, _ = split_options(words)
        parse_call(DESCRIBED, plain)
    except Usage:
        return


@given(
    st.lists(st.sampled_from(["a", "k=v", "1", "-"])), st.permutations(["--json", "--wait", "--profile=p", "--to=x"])
)
def test_options_may_be_anywhere(words: list[str], options: list[str]) -> None:
    mixed = list(words)
    for position, option in enumerate(options):
        mixed.insert(position * 2, option)
    assert split_options(mixed) == (words, Options(table=False, wait=True, profile="p", to="x"))


def test_words_after_two_hyphens_are_not_options() -> None:
    assert split_options(["zone", "--", "--wait"])[0] == ["zone", "--wait"]


def test_a_field_may_precede_the_name() -> None:
    assert parse_call(DESCRIBED, ["vm-host", "compose", "cores=2", "1"]).path == "vm-hosts/1/"


def test_fields_are_in_the_query_or_the_body_by_method() -> None:
    assert parse_call(DESCRIBED, ["vm-host", "delete", "4", "decompose=true"]).fields_in_query
    assert not parse_call(DESCRIBED, ["vm-host", "compose", "4", "cores=1"]).fields_in_query


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "Missing resource. One of: .*vm-host"),
        (["vm-hots", "read"], "Unknown resource 'vm-hots'. Did you mean vm-host"),
        (["vm-host"], "Missing action of vm-host. One of: add-tag, compose"),
        (["vm-host", "compse", "1"], "Did you mean compose"),
        (["vm-host", "read"], "ID is missing.\nusage: innkeeper vm-host read ID"),
        (["vm-host", "read", ""], "must not be empty"),
        (["vm-host", "read", "1", "2"], "Unexpected argument '2'. Fields are key=value"),
    ],
)
def test_a_usage_error_says_what_is_expected(words: list[str], expected: str) -> None:
    with pytest.raises(Usage, match=expected):
        parse_call(DESCRIBED, words)


def test_an_error_does_not_list_dozens_of_resources() -> None:
    many = {f"thing{number}": DESCRIBED.resources["vm-host"] for number in range(50)}
    with pytest.raises(Usage, match=r"^Unknown resource 'wxyz'\. innkeeper PROFILE --help lists them\.$"):
        parse_call(evolve(DESCRIBED, resources=many), ["wxyz", "read"])


@pytest.mark.parametrize(("words", "expected"), [(["--jsn"], "Did you mean --json"), (["--to"], "--to needs a value")])
def test_an_invalid_option_is_a_usage_error(words: list[str], expected: str) -> None:
    with pytest.raises(Usage, match=expected):
        split_options(words)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "vm-host delete 16 decompos=true",
            "Unknown field 'decompos' of vm-host delete. Did you mean 'decompose'[?]\n"
            "usage: innkeeper vm-host delete ID",
        ),
        ("vm-host compose 1 core=1", "Unknown field 'core' of vm-host compose. Did you mean 'cores'?"),
        ("machine update X cpu_count=4", "Unknown field 'cpu_count' of machine update. Known: hostname, zone, pool"),
        ("machines read bogus=1", "Unknown field 'bogus' of machines read. Known: id, hostname"),
        ("vm-host refresh 3 x@=file", "Unknown field 'x' of vm-host refresh. It has no fields."),
        (
            "machine release X y=1 comment=z",
            "Unknown field 'y' of machine release. Known: erase, secure_erase, quick_erase, force, release_adopted, c",
        ),
        ("vm-host compose 1 core=1 memry=1", "'cores'[?]\nUnknown field 'memry' .* 'memory'[?]\nusage: "),
    ],
)
def test_a_field_that_the_action_does_not_know_is_refused(line: str, expected: str) -> None:
    with pytest.raises(Usage, match=expected):
        parse_call(OF_THE_REGION, line.split())


def test_owner_data_may_have_any_key() -> None:
    call = parse_call(OF_THE_REGION, ["machine", "set-owner-data", "abc", "colour=red"])
    assert call.fields == (Given(name="colour", value="red"),)


def test_every_declared_field_of_the_region_is_known() -> None:
    for resource in (one for one in RESOURCES if one.described):
        described = OF_THE_REGION.resources[command_of(resource.handler)]
        for endpoint in resource.endpoints:
            known = described.actions[endpoint.name.replace("_", "-")].fields
            assert set(known) == {one.name for one in endpoint.fields}


def test_the_fields_of_local_commands_are_those_of_the_region() -> None:
    assert OF_THE_REGION.resources["racks"].actions["token"].fields == TOKEN_FIELDS
    discrepancies = OF_THE_REGION.resources["discrepancies"].actions
    pages = ("limit", "after", "sort", "q")
    assert discrepancies["read"].fields == (*KNOWN_FIELDS["check"], *pages)
    assert discrepancies["repaired"].fields == (*KNOWN_FIELDS["repaired"], *pages)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("-k", "always verified: log in with --fingerprint"),
        ("--insecure", "always verified: log in with --fingerprint"),
        ("-d", "An error says its reason"),
        ("--debug", "An error says its reason"),
    ],
)
def test_options_of_maas_say_what_to_use_instead(word: str, expected: str) -> None:
    with pytest.raises(Usage, match=f"^There is no option {word}. .*{expected}"):
        split_options(["machines", "read", word])


def test_the_authorities_of_a_login_are_named_as_in_maas_too() -> None:
    for words in (["--cacerts", "ca.pem"], ["--cacerts=ca.pem"], ["--ca-file", "ca.pem"]):
        assert split_options(["login", *words]) == (["login"], Options(ca_file="ca.pem"))


def test_commands_of_maas_on_its_region_say_what_to_use(capsys: pytest.CaptureFixture[str]) -> None:
    for words, expected in (
        (["apikey", "--username=ann"], "sudo regiond apikey --username NAME"),
        (["createadmin", "--password=x"], "innkeeper region admin create --username NAME"),
        (["changepassword", "ann"], "sudo regiond password NAME"),
    ):
        assert main(words, {}) == ExitStatus.USAGE
        assert f"'maas {words[0]}' is '{expected}' here" in capsys.readouterr().err


def test_regiond_apikey_takes_the_account_as_maas_does() -> None:
    def account(*words: str) -> str:
        return account_of_key(parser().parse_args(["apikey", *words]))

    assert [account(), account("ann"), account("--username=ann"), account("--username", "ann")] == ["admin"] + [
        "ann"
    ] * 3
