"""Keys of answers that are derived from the attributes of a class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any
from uuid import UUID

import pytest
from attrs import evolve, frozen

from regiond.api.declaration.serializer import (
    AS_TEXT,
    BOOL,
    INT,
    NUMBER,
    OBJECT,
    STR,
    TIMESTAMP,
    Schema,
    Serializer,
    array,
    enum,
    fields_of,
    key,
    mapping,
    nullable,
    serializer,
)


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@frozen(kw_only=True)
class Wheel:
    size_mm: int


@frozen(kw_only=True)
class Car:
    id: int
    name: str
    weight: float
    electric: bool
    colour: Colour
    made_at: datetime
    uuid: UUID
    address: IPv4Address | IPv6Address | None
    owner: str | None
    seats: tuple[str, ...]
    rows: Sequence[Sequence[int]]
    wheels: Iterable[Wheel]
    spare: Wheel | None
    by_place: Mapping[str, Wheel]
    counts: Mapping[str, int]
    details: Mapping[str, Any]
    parts: Sequence[Mapping[str, Any]]
    price: Decimal
    position: tuple[int, str]
    number_or_text: int | str
    undeclared = 5

    @property
    def best(self) -> Wheel:
        return next(iter(self.wheels))

    @property
    def unknown(self):  # type: ignore[no-untyped-def]
        return None

    def drive(self) -> int:
        return 1


WHEEL: Serializer[Wheel] = serializer("Wheel", *fields_of(Wheel, "size=size_mm"))
PART = Serializer[Mapping[str, Any]](schema={"type": "object"})
CAR = Car(
    id=1,
    name="one",
    weight=1.5,
    electric=True,
    colour=Colour.RED,
    made_at=datetime(2026, 1, 2, tzinfo=UTC),
    uuid=UUID(int=1),
    address=ip_address("10.0.0.1"),
    owner=None,
    seats=("left", "right"),
    rows=((1, 2), (3,)),
    wheels=(Wheel(size_mm=400), Wheel(size_mm=410)),
    spare=None,
    by_place={"front": Wheel(size_mm=400)},
    counts={"doors": 4},
    details={"colour": "dark"},
    parts=({"name": "bolt"},),
    price=Decimal("1.5"),
    position=(1, "left"),
    number_or_text=1,
)


@pytest.mark.parametrize(
    ("name", "part", "type_", "value"),
    [
        ("id", None, INT, 1),
        ("name", None, STR, "one"),
        ("weight", None, NUMBER, 1.5),
        ("electric", None, BOOL, True),
        ("colour", None, enum(Colour), "red"),
        ("colour", AS_TEXT, STR, "red"),
        ("made_at", None, TIMESTAMP, "2026-01-02T00:00:00+00:00"),
        ("uuid", None, AS_TEXT, "00000000-0000-0000-0000-000000000001"),
        ("address", None, nullable(AS_TEXT), "10.0.0.1"),
        ("owner", None, nullable(STR), None),
        ("name", nullable(STR), nullable(STR), "one"),
        ("seats", None, array(STR), ["left", "right"]),
        ("rows", None, array(array(INT)), [[1, 2], [3]]),
        ("wheels", WHEEL, array(WHEEL), [{"size": 400}, {"size": 410}]),
        ("spare", WHEEL, nullable(WHEEL), None),
        ("by_place", WHEEL, mapping(WHEEL), {"front": {"size": 400}}),
        ("counts", None, mapping(INT), {"doors": 4}),
        ("details", None, OBJECT, {"colour": "dark"}),
        ("parts", PART, array(PART), [{"name": "bolt"}]),
        ("best", WHEEL, WHEEL, {"size": 400}),
    ],
)
def test_the_type_is_that_of_the_annotation(
    name: str, part: Serializer[Any] | None, type_: Serializer[Any], value: object
) -> None:
    declared: Serializer[Car] = serializer("Car", *fields_of(Car, name, **({} if part is None else {name: part})))
    schema: Schema = declared.schema["properties"][name]
    assert schema == type_.schema
    found = declared.encode(CAR)[name]
    assert (found, type(found)) == (value, type(value))  # not a StrEnum, for which the encoder of JSON is slower


def test_keys_have_the_order_and_the_names_that_are_given() -> None:
    declared: Serializer[Car] = serializer(
        "Car",
        *fields_of(Car, "name number=id", "best.size_mm", "best_size=best.size_mm"),
        key("doors", INT, lambda car: car.counts["doors"]),
        *fields_of(Car, "electric"),
    )
    expected = {"name": "one", "number": 1, "size_mm": 400, "best_size": 400, "doors": 4, "electric": True}
    assert list(declared.encode(CAR).items()) == list(expected.items())
    assert declared.schema["required"] == list(expected)
    assert declared.encode(evolve(CAR, name="two"))["name"] == "two"


@pytest.mark.parametrize(
    ("names", "parts", "message"),
    [
        ("id colr", {}, "Car has no annotated attribute colr"),
        ("best.colour", {}, "Car has no annotated attribute best.colour"),
        ("spare.size_mm", {}, "Car has no annotated attribute spare.size_mm"),  # it may be None
        ("name.size", {}, "Car has no annotated attribute name.size"),
        ("drive", {}, "Car has no annotated attribute drive"),
        ("undeclared", {}, "Car has no annotated attribute undeclared"),
        ("unknown", {}, "Car has no annotated attribute unknown"),
        ("best", {}, "Car.best is annotated as .*Wheel.*: no type is known"),
        ("price", {}, "Car.price is annotated as .*Decimal.*: no type is known"),
        ("position", {}, "Car.position is annotated as tuple.*: no type is known"),
        ("number_or_text", {}, "Car.number_or_text is annotated as .*: no type is known"),
        ("price", {"price": WHEEL}, "Car.price is annotated as .*Decimal.*: no type fits"),
        ("wheels", {"wheels": STR}, "Car.wheels is annotated as .*Wheel.*: no type fits"),
        ("id", {"name": STR, "uuid": STR}, "Car: no key has the name name or uuid"),
    ],
)
def test_a_wrong_name_or_type_fails_where_it_is_declared(
    names: str, parts: Mapping[str, Serializer[Any]], message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        fields_of(Car, names, **parts)
