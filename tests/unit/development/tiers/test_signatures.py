"""A double that stands for a class accepts only calls that the class accepts."""

from __future__ import annotations

from typing import Any

import pytest

from tests.doubles.signatures import in_place_of


class Real:
    def read(self, host_id: int, *, deadline_s: float) -> str:
        return f"host {host_id} within {deadline_s} s"


class Double:
    is_open = True

    def read(self, *given: Any, **named: Any) -> str:
        return f"{given} {named}"

    def write(self) -> None:
        self.is_open = False


def test_a_valid_call_reaches_the_double() -> None:
    standing: Any = in_place_of(Real, Double())
    assert standing.read(1, deadline_s=2.0) == "(1,) {'deadline_s': 2.0}"
    assert standing.is_open


@pytest.mark.parametrize(("given", "named"), [((1,), {}), ((1, 2.0), {}), ((1,), {"deadline_s": 2.0, "more": 1})])
def test_a_call_that_the_class_rejects_is_rejected(given: tuple[Any, ...], named: dict[str, Any]) -> None:
    standing: Any = in_place_of(Real, Double())
    with pytest.raises(TypeError, match=r"^Real\.read: "):
        standing.read(*given, **named)


def test_a_method_that_the_class_lacks_is_rejected() -> None:
    standing: Any = in_place_of(Real, Double())
    with pytest.raises(AttributeError, match="Real has no method write"):
        standing.write()


def test_two_of_one_double_are_equal() -> None:
    double = Double()
    assert len({in_place_of(Real, double), in_place_of(Real, double), in_place_of(Real, Double())}) == 2
