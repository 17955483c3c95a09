"""Values on the wire: what each kind takes, and the words in which it refuses."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidRequest
from regiond.api.fields import (
    Boolean,
    Choice,
    CommaList,
    Field,
    Float,
    Integer,
    IntegerList,
    JsonArray,
    Kind,
    Text,
    TextList,
    read_fields,
)

CORES = Integer(least=1, most=8)
RATIO = Float(least=0.0, most=10.0)


def read(kind: Kind, *given: object, required: bool = False, default: Any = None) -> Any:
    one = Field(name="f", kind=kind, doc="A field.", required=required, default=default)
    return read_fields([one], {"f": given} if given else {})["f"]


def refusal(kind: Kind, *given: object, required: bool = False) -> str:
    with pytest.raises(InvalidRequest) as caught:
        read(kind, *given, required=required)
    (message,) = caught.value.fields["f"]
    return message


@pytest.mark.parametrize(
    ("kind", "given", "value"),
    [
        (CORES, "4", 4),
        (CORES, " 4 ", 4),
        (CORES, "4.0", 4),
        (CORES, 4, 4),
        (CORES, 4.0, 4),
        (CORES, "+4", 4),
        (RATIO, "2", 2.0),
        (RATIO, "2.5", 2.5),
        (RATIO, " .5 ", 0.5),
        (RATIO, 2, 2.0),
        (RATIO, "1e1", 10.0),
        (Boolean(), "True", True),
        (Boolean(), "1", True),
        (Boolean(), True, True),
        (Boolean(), "on", True),
        (Boolean(), "false", False),
        (Boolean(), "False", False),
        (Boolean(), "0", False),
        (Boolean(), 0, False),
        (Boolean(), "no", False),
        (Boolean(), "off", False),
        (Boolean(), False, False),
        (Boolean(), "", False),
        (Choice(choices=("a", "b")), "b", "b"),
        (Text(), "  x ", "x"),
        (Text(stripped=False), " x ", " x "),
        (Text(), 5, "5"),
        (CommaList(), "a, b,,a", ("a", "b")),
        (CommaList(), "", ()),
        (TextList(), "a", ("a",)),
        (TextList(commas=True), "a, b", ("a", "b")),
        (IntegerList(), "3", (3,)),
    ],
)
def test_values_are_read(kind: Kind, given: object, value: Any) -> None:
    found = read(kind, given)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        (CORES, "four", "Enter a whole number."),
        (CORES, "4.5", "Enter a whole number."),
        (CORES, 4.5, "Enter a whole number."),
        (CORES, True, "Enter a whole number."),
        (CORES, [4], "Enter a whole number."),
        (CORES, "1" * 41, "Enter a whole number."),
        (CORES, "٤", "Enter a whole number."),
        (CORES, "0x4", "Enter a whole number."),
        (CORES, float("inf"), "Enter a whole number."),
        (CORES, "9", "Ensure this value is less than or equal to 8."),
        (CORES, 10**30, "Ensure this value is less than or equal to 8."),
        (CORES, "0", "Ensure this value is greater than or equal to 1."),
        (CORES, "-4", "Ensure this value is greater than or equal to 1."),
        (RATIO, "much", "Enter a number."),
        (RATIO, "nan", "Enter a number."),
        (RATIO, "inf", "Enter a number."),
        (RATIO, float("nan"), "Enter a number."),
        (RATIO, True, "Enter a number."),
        (RATIO, "10.1", "Ensure this value is less than or equal to 10."),
        (RATIO, "1e99", "Ensure this value is less than or equal to 10."),
        (RATIO, "-0.1", "Ensure this value is greater than or equal to 0."),
        (Boolean(), "maybe", "Enter true or false."),
        (Boolean(), {"a": 1}, "Enter a text."),
        (Choice(choices=("a", "b")), "c", "Select a valid choice. c is not one of the available choices."),
        (Choice(choices=("a", "b")), ["a"], "Enter a text."),
        (Text(longest=3), "abcd", "Ensure this value has at most 3 characters (it has 4)."),
        (Text(), "a\x00b", "Null characters are not allowed."),
        (Text(), "\ud800", "This is not valid Unicode text."),
        (Text(), {"a": 1}, "Enter a text."),
        (Text(pattern="[a-z]+", advice="Letters only."), "A1", "Letters only."),
        (CommaList(longest=2), "a,bcd", "Ensure each value has at most 2 characters (one has 3)."),
        (CommaList(most=1), "a,b", "Ensure there are at most 1 values (there are 2)."),
        (TextList(choices=("a",)), "b", "Select a valid choice. b is not one of the available choices."),
        (IntegerList(), "1,2", "Enter a whole number."),
        (IntegerList(most=3), "4", "Ensure this value is less than or equal to 3."),
    ],
)
def test_what_cannot_be_taken_is_refused_in_words_that_clients_know(kind: Kind, given: object, message: str) -> None:
    assert refusal(kind, given) == message


def test_repeated_keys_make_lists_and_the_last_one_counts_elsewhere() -> None:
    assert read(IntegerList(), "1", "2") == (1, 2)
    assert read(TextList(), "a", "b", "a") == ("a", "b")
    assert read(CORES, "1", "2") == 2
    assert read(CommaList(), "a", "b,c") == ("b", "c")
    assert CommaList().read(JsonArray(["a", "b,c", None])) == ("a", "b", "c")


@pytest.mark.parametrize("blank", [(), ("",), ("  ",), (None,)])
def test_a_required_field_must_say_something(blank: tuple[object, ...]) -> None:
    assert refusal(Text(), *blank, required=True) == "This field is required."


def test_absent_and_empty_differ_where_empty_means_something() -> None:
    assert read(Text(), default=None) is None
    assert read(Text(), "", default=None) == ""
    assert read(CommaList(), default=None) is None
    assert read(CommaList(), "", default=None) == ()
    assert read(CORES, "", default=3) == 3
    assert read(Text(blank=None), "", default=None) is None


def test_all_that_is_wrong_is_told_at_once() -> None:
    fields = [Field(name=name, kind=CORES, doc="") for name in ("a", "b", "c")]
    with pytest.raises(InvalidRequest) as caught:
        read_fields(fields, {"a": ("x",), "b": ("2",), "c": ("99",)})
    assert sorted(caught.value.fields) == ["a", "c"]


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
KINDS = [CORES, RATIO, Boolean(), Choice(choices=("a",)), Text(pattern="a*"), CommaList(), TextList(), IntegerList()]


@given(st.sampled_from(KINDS), st.lists(ANY_JSON, max_size=4))
def test_anything_is_read_or_refused(kind: Kind, given: list[object]) -> None:
    try:
        read(kind, *given)
    except InvalidRequest as error:
        refused = error
    else:
        return
    assert list(refused.fields) == ["f"]
