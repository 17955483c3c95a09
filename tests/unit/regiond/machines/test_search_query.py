"""The language of searches: what a text means, and what is said about one that means nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidRequest
from regiond.machines.searches.search.fields import MACHINE_FIELDS
from regiond.requests.search_numbers import ALL, COUNT, HIGHEST, MEMORY_MIB, Ranges, is_in, parse_number, ranges_of
from regiond.requests.search_query import (
    MAX_LENGTH,
    MAX_TERMS,
    MAX_WORDS,
    Kind,
    SearchQuery,
    has_part,
    has_value,
    has_words,
    names_used,
    parse,
    resolved,
    term,
    tokens,
)

KNOWN = {"pool": ("default", "staging", "Two words"), "tag": ("gpu", "ssd"), "host": ("hv-01", "hv-02", "rack1-a")}
_TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
_PIECES = st.sampled_from([
    "pool:", "tag:", "state:", "cores:", "-", '"', "\\", " ", "ready", "gpu", "+", "*", ">=", "..", "4", "none", ":",
    "fd00::1", "web", "foo:bar", "GiB",
])  # fmt: skip


def _query(text: str) -> SearchQuery:
    return resolved(parse(text, MACHINE_FIELDS), MACHINE_FIELDS, KNOWN)


def _problem(text: str) -> str:
    with pytest.raises(InvalidRequest) as refused:
        _query(text)
    assert set(refused.value.fields) == {"q"}
    return " ".join(refused.value.fields["q"])


def test_fields_words_and_exclusions_are_read() -> None:
    query = _query('pool:staging -tag:gpu state:ready State:"DEPLOYED" web "two words" -old')
    assert query == SearchQuery(
        words=("web", "two words"),
        not_words=("old",),
        wanted={"pool": ("staging",), "state": ("ready", "deployed")},
        excluded={"tag": ("gpu",)},
    )


def test_failed_is_every_failure() -> None:
    assert _query("state:failed").wanted == {"state": ("failed_deployment", "failed_compose", "failed")}
    assert _query("state:failed-compose").wanted == {"state": ("failed_compose",)}


@pytest.mark.parametrize("text", ["00:16:3e:11:22:33", "fd00::1", "10.20.0.0", "::1", "fd00::/8", "host-1.example"])
def test_addresses_are_words(text: str) -> None:
    assert _query(text).words == (text,)


def test_names_are_found_in_any_case_and_by_patterns() -> None:
    assert _query("pool:STAGING").wanted == {"pool": ("staging",)}
    assert _query('pool:"two words"').wanted == {"pool": ("Two words",)}
    assert _query("host:hv-*").wanted == {"host": ("hv-01", "hv-02")}
    assert _query("host:*1*a").wanted == {"host": ("rack1-a",)}
    assert _query("-host:hv-*").excluded == {"host": ("hv-01", "hv-02")}


def test_none_is_what_has_no_value_and_a_plus_joins_tags() -> None:
    assert _query("host:none").wanted == {"host": ("",)}
    query = _query("tag:gpu+ssd")
    assert (query.wanted, query.every) == ({}, {"tag": ("gpu", "ssd")})


def test_numbers_are_compared_in_their_units() -> None:
    assert _query("cores:>=4 cores:<8").numbers == {"cores": ((4, 7),)}
    assert _query("cores:2 cores:8..16").numbers == {"cores": ((2, 2), (8, 16))}
    assert _query("-cores:4").numbers == {"cores": ((0, 3), (5, HIGHEST))}
    assert _query("ram:>=1.5GiB ram:<2048MiB").numbers == {"ram": ((1536, 2047),)}
    assert _query("cores:>4 cores:<3").numbers == {"cores": ()}
    assert is_in(_query("ram:8").numbers["ram"], 8192)
    assert not is_in(_query("ram:8").numbers["ram"], 8000)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("foo:bar", "There is no field foo; there are name, id, state"),
        ("foo:bar", 'write "foo:bar"'),
        ("state:faild", "state: 'faild' is not one of"),
        ("state:", "state: needs a value, one of composing"),
        ("pool:", "pool: needs a value, as in pool:staging"),
        ("pool:stagin", "there are staging"),
        ("-pool:stagin", "There is no pool 'stagin'"),
        ("tag:gpux", "There is no tag 'gpux'"),
        ("cores:many", "cores: 'many' is not a number, as in cores:>=4"),
        ("ram:4XiB", "is not a number of GiB"),
        ("x" * (MAX_LENGTH + 1), f"at most {MAX_LENGTH} characters"),
        ("name:a " * (MAX_TERMS + 1), f"at most {MAX_TERMS} terms"),
        ("a " * (MAX_WORDS + 1), f"at most {MAX_WORDS} words"),
    ],
)
def test_what_cannot_be_read_is_answered_with_what_exists(text: str, said: str) -> None:
    assert said in _problem(text)


def test_an_excluded_tag_need_not_exist() -> None:
    assert _query("-tag:gone").excluded == {"tag": ()}


def test_a_half_typed_term_is_no_error() -> None:
    assert _query("-").words == ()
    assert _query('"two wo').words == ("two wo",)
    assert _query('pool:"two words').wanted == {"pool": ("Two words",)}


def test_a_tag_that_is_called_none_is_not_the_lack_of_tags() -> None:
    assert [(one.value, one.quoted) for one in tokens(term("tag", "none"), MACHINE_FIELDS)] == [("none", True)]


@given(name=st.sampled_from([one.name for one in MACHINE_FIELDS.values() if one.kind is Kind.TEXT]), value=_TEXTS)
def test_a_term_that_is_made_finds_its_value(name: str, value: str) -> None:
    (token,) = tokens(term(name, value), MACHINE_FIELDS)
    assert (token.name, token.value, token.negated) == (name, value, False)
    made = tokens(term("", value), MACHINE_FIELDS)
    assert [one.value for one in made] == [value]


@given(st.one_of(_TEXTS, st.lists(_PIECES, max_size=12).map("".join)))
def test_any_text_is_read_or_refused_with_reasons(text: str) -> None:
    reasons = _reasons(text)
    assert len(reasons) < 4
    assert all(0 < len(reason) < 2000 for reason in reasons)


def _reasons(text: str) -> list[str]:
    """Why it is refused; none if it is read."""
    try:
        query = parse(text, MACHINE_FIELDS)
        resolved(query, MACHINE_FIELDS, {name: KNOWN.get(name, ()) for name in names_used(query, MACHINE_FIELDS)})
    except InvalidRequest as refused:
        return list(refused.fields["q"])
    return []


@given(st.lists(st.tuples(st.sampled_from(["3", ">=3", "<7", "2..5", ">4", "<=6"]), st.booleans()), max_size=5))
def test_ranges_have_the_numbers_of_all_their_terms(terms: list[tuple[str, bool]]) -> None:
    found = ranges_of((parsed, negated) for text, negated in terms if (parsed := parse_number(text, COUNT)))
    meanings = {
        "3": lambda n: n == 3, ">=3": lambda n: n >= 3, "<7": lambda n: n < 7, "2..5": lambda n: 2 <= n <= 5,
        ">4": lambda n: n > 4, "<=6": lambda n: n <= 6,
    }  # fmt: skip
    equal = [text for text, negated in terms if not negated and text in {"3", "2..5"}]
    compared = [text for text, negated in terms if not negated and text not in {"3", "2..5"}]
    excluded = [text for text, negated in terms if negated]
    for number in range(12):
        wanted = not equal or any(meanings[text](number) for text in equal)
        expected = (
            wanted
            and all(meanings[text](number) for text in compared)
            and not any(meanings[text](number) for text in excluded)
        )
        assert is_in(found, number) == expected, (terms, number)


@pytest.mark.parametrize("text", ["", "x", "4x", "..", "4..", "8..4", ">", "1e9", "-4", "0x10", "99999999999"])
def test_what_is_no_number_is_none(text: str) -> None:
    assert parse_number(text, COUNT) is None


def test_ranges_without_terms_are_all_numbers() -> None:
    everything: Ranges = ALL
    assert ranges_of([]) == everything
    assert not is_in(everything, None)
    assert parse_number("2TiB", MEMORY_MIB) is not None


def test_values_and_words_in_memory_are_found_as_in_the_database() -> None:
    query = SearchQuery(words=("web",), not_words=("old",), wanted={"tag": ("gpu", "")}, excluded={"zone": ("east",)})
    assert has_words(query, ("my-WEB-1", "x"))
    assert not has_words(query, ("web-1", "very old"))
    assert has_value(query, "tag", ("ssd", "gpu"))
    assert has_value(query, "tag", ())
    assert not has_value(query, "tag", ("ssd",))
    assert not has_value(query, "zone", ("east",))
    assert has_part(SearchQuery(wanted={"name": ("AL",)}), "name", ("alder",))
