"""Typed words become a call, or a sentence that says what was expected."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from innkeeper.arguments import Given, Options, Usage, parse_call, split_options
from innkeeper.describe import read_description
from tests.unit.cli_region import description

DESCRIBED = read_description(description())
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,12}", fullmatch=True)
FIELDS = st.builds(Given, name=NAMES, value=st.text(max_size=40), from_file=st.booleans())


def typed(field: Given) -> str:
    return f"{field.name}{'@' if field.from_file else ''}={field.value}"


@given(st.text(min_size=1).filter(lambda text: "=" not in text), st.lists(FIELDS, max_size=6))
def test_what_is_typed_is_what_is_sent(name: str, fields: list[Given]) -> None:
    call = parse_call(DESCRIBED, ["zone", "read", name, *map(typed, fields)])
    assert unquote(call.path) == f"zones/{name}/"
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
def test_options_may_stand_anywhere(words: list[str], options: list[str]) -> None:
    mixed = list(words)
    for place, option in enumerate(options):
        mixed.insert(place * 2, option)
    assert split_options(mixed) == (words, Options(table=False, wait=True, profile="p", to="x"))


def test_what_follows_two_hyphens_is_no_option() -> None:
    assert split_options(["zone", "--", "--wait"])[0] == ["zone", "--wait"]


def test_a_field_may_stand_before_the_name() -> None:
    assert parse_call(DESCRIBED, ["vm-host", "compose", "cores=2", "1"]).path == "vm-hosts/1/"


def test_fields_go_where_the_method_carries_them() -> None:
    assert parse_call(DESCRIBED, ["vm-host", "delete", "4", "decompose=true"]).fields_in_query
    assert not parse_call(DESCRIBED, ["vm-host", "compose", "4", "cores=1"]).fields_in_query


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Name a resource: .*vm-host"),
        (["vm-hots", "read"], "no resource 'vm-hots'. Did you mean vm-host"),
        (["vm-host"], "Name an action of vm-host: add-tag, compose"),
        (["vm-host", "compse", "1"], "Did you mean compose"),
        (["vm-host", "read"], "ID is missing.\nusage: vm-host read ID"),
        (["vm-host", "read", ""], "An empty name"),
        (["vm-host", "read", "1", "2"], "'2' was not expected here: fields are written key=value"),
    ],
)
def test_a_slip_is_told_with_what_was_expected(words: list[str], said: str) -> None:
    with pytest.raises(Usage, match=said):
        parse_call(DESCRIBED, words)


@pytest.mark.parametrize(("words", "said"), [(["--jsn"], "Did you mean --json"), (["--to"], "--to needs a value")])
def test_a_wrong_option_is_told(words: list[str], said: str) -> None:
    with pytest.raises(Usage, match=said):
        split_options(words)


def test_a_field_that_looks_misspelt_is_doubted_and_a_strange_one_is_not() -> None:
    doubts = parse_call(DESCRIBED, ["vm-host", "compose", "1", "memry=1", "cores=2", "skip_commissioning=1"]).doubts
    assert doubts == ("'memry' is not a documented field; did you mean 'memory'?",)
