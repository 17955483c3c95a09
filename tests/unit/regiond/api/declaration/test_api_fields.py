"""Which submitted values each field type accepts, and its messages for the others."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regiond.api.declaration.field_types import (
    Boolean,
    Choice,
    CommaList,
    FieldType,
    Float,
    Integer,
    IntegerList,
    JsonArray,
    Text,
    TextList,
)
from regiond.api.declaration.fields import Field, ParsedFields, parse_fields

CORES = Integer(minimum=1, maximum=8)
RATIO = Float(minimum=0.0, maximum=10.0)


def parsed(type_: FieldType, *submitted: object, required: bool = False, default: Any = None) -> ParsedFields:
    one = Field("f", type_, "A field.", required=required, default=default)
    return parse_fields([one], {"f": submitted} if submitted else {})


def read(type_: FieldType, *submitted: object, required: bool = False, default: Any = None) -> Any:
    found = parsed(type_, *submitted, required=required, default=default)
    assert found.problems == {}
    return found.values["f"]


def problem(type_: FieldType, *submitted: object, required: bool = False) -> str:
    ((message,),) = parsed(type_, *submitted, required=required).problems.values()
    return message


@pytest.mark.parametrize(
    ("type_", "given", "value"),
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
        (Text(strip=False), " x ", " x "),
        (Text(), 5, "5"),
        (CommaList(), "a, b,,a", ("a", "b")),
        (CommaList(), "", ()),
        (TextList(), "a", ("a",)),
        (TextList(commas=True), "a, b", ("a", "b")),
        (IntegerList(), "3", (3,)),
    ],
)
def test_values_are_parsed(type_: FieldType, given: object, value: Any) -> None:
    found = read(type_, given)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("type_", "given", "message"),
    [
        (CORES, "four", "Enter a whole number from 1 to 8, not 'four'."),
        (CORES, "4.5", "Enter a whole number from 1 to 8, not '4.5'."),
        (CORES, 4.5, "Enter a whole number from 1 to 8, not '4.5'."),
        (CORES, True, "Enter a whole number from 1 to 8, not 'True'."),
        (CORES, [4], "Enter a whole number from 1 to 8, not '[4]'."),
        (CORES, "1" * 41, f"Enter a whole number from 1 to 8, not '{'1' * 41}'."),
        (CORES, "٤", "Enter a whole number from 1 to 8, not '٤'."),
        (CORES, "0x4", "Enter a whole number from 1 to 8, not '0x4'."),
        (CORES, float("inf"), "Enter a whole number from 1 to 8, not 'inf'."),
        (CORES, "9", "Must be from 1 to 8, not 9."),
        (CORES, 10**30, f"Must be from 1 to 8, not {10**30}."),
        (CORES, "0", "Must be from 1 to 8, not 0."),
        (CORES, "-4", "Must be from 1 to 8, not -4."),
        (RATIO, "much", "Enter a number from 0 to 10, not 'much'."),
        (RATIO, "nan", "Enter a number from 0 to 10, not 'nan'."),
        (RATIO, "inf", "Enter a number from 0 to 10, not 'inf'."),
        (RATIO, float("nan"), "Enter a number from 0 to 10, not 'nan'."),
        (RATIO, True, "Enter a number from 0 to 10, not 'True'."),
        (RATIO, "10.1", "Must be from 0 to 10, not 10.1."),
        (RATIO, "1e99", "Must be from 0 to 10, not 1e+99."),
        (RATIO, "-0.1", "Must be from 0 to 10, not -0.1."),
        (Boolean(), "maybe", "Enter true or false, not 'maybe'."),
        (Boolean(), {"a": 1}, "Enter a text."),
        (Choice(choices=("a", "b")), "c", "'c' is not one of: a, b."),
        (Choice(choices=("a", "b")), ["a"], "Enter a text."),
        (Text(max_length=3), "abcd", "Use at most 3 characters; this has 4."),
        (Text(), "a\x00b", "Null characters are not allowed."),
        (Text(), "\ud800", "This is not valid Unicode text."),
        (Text(), {"a": 1}, "Enter a text."),
        (Text(pattern="[a-z]+", message="Letters only."), "A1", "Letters only."),
        (CommaList(max_length=2), "a,bcd", "Use at most 2 characters in each value; one has 3."),
        (CommaList(max_items=1), "a,b", "Give at most 1 values; there are 2."),
        (TextList(choices=("a",)), "b", "'b' is not one of: a."),
        (IntegerList(), "1,2", "Enter a whole number of at least 0, not '1,2'."),
        (IntegerList(maximum=3), "4", "Must be from 0 to 3, not 4."),
    ],
)
def test_invalid_values_are_reported(type_: FieldType, given: object, message: str) -> None:
    assert problem(type_, given) == message


def test_repeated_keys_make_lists_else_the_last_counts() -> None:
    assert read(IntegerList(), "1", "2") == (1, 2)
    assert read(TextList(), "a", "b", "a") == ("a", "b")
    assert read(CORES, "1", "2") == 2
    assert read(CommaList(), "a", "b,c") == ("b", "c")
    assert CommaList().parse(JsonArray(["a", "b,c", None])) == ("a", "b", "c")


def test_a_repeated_text_can_be_one_text() -> None:
    disks = Text(max_length=12, joined_by=",")
    assert read(disks, "root:8") == "root:8"
    assert read(disks, "root:8", "", None, "x:1") == "root:8,x:1"
    assert "12 characters" in problem(disks, "root:8", "data:11")


@pytest.mark.parametrize("blank", [(), ("",), ("  ",), (None,)])
def test_a_required_field_must_not_be_blank(blank: tuple[object, ...]) -> None:
    assert problem(Text(), *blank, required=True) == "This field is required."


def test_an_empty_value_differs_from_an_absent_one() -> None:
    assert read(Text(), default=None) is None
    assert read(Text(), "", default=None) == ""
    assert read(CommaList(), default=None) is None
    assert read(CommaList(), "", default=None) == ()
    assert read(CORES, "", default=3) == 3
    assert read(Text(blank=None), "", default=None) is None


def test_every_invalid_field_is_reported() -> None:
    fields = [Field(name, CORES, "", default=1) for name in ("a", "b", "c")]
    found = parse_fields(fields, {"a": ("x",), "b": ("2",), "c": ("99",)})
    assert sorted(found.problems) == ["a", "c"]
    assert found.values == {"a": 1, "b": 2, "c": 1}


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
TYPES = [CORES, RATIO, Boolean(), Choice(choices=("a",)), Text(pattern="a*"), CommaList(), TextList(), IntegerList()]


@given(st.sampled_from(TYPES), st.lists(ANY_JSON, max_size=4))
def test_any_json_is_parsed_or_reported(type_: FieldType, submitted: list[object]) -> None:
    assert set(parsed(type_, *submitted).problems) <= {"f"}
