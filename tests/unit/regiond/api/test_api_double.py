"""The recorders of the API's services accept only what the services do."""

from __future__ import annotations

from typing import Any

import pytest

from tests.doubles.signatures import has_method
from tests.unit.answers import ANSWERS
from tests.unit.support.api_double import SERVICES, ApiDouble, result_of


def test_a_recorder_has_only_the_methods_of_its_service() -> None:
    hosts: Any = ApiDouble().services().hosts
    with pytest.raises(AttributeError, match="Hosts has no method decompose"):
        hosts.decompose(1)


@pytest.mark.parametrize(
    ("args", "named"),
    [((), {"caller": None}), ((1,), {}), ((1, None), {}), ((1,), {"caller": None, "force": True})],
    ids=["too few", "no caller", "caller by position", "unknown name"],
)
def test_a_recorder_rejects_arguments_that_its_service_rejects(args: tuple[Any, ...], named: dict[str, Any]) -> None:
    api = ApiDouble()
    hosts: Any = api.services().hosts
    api.answers["hosts.read"] = None
    result_of(hosts.read(1, caller=None))
    with pytest.raises(TypeError, match=r"^Hosts\.read: "):
        result_of(hosts.read(*args, **named))
    assert len(api.calls) == 1


def test_each_answer_is_of_a_method() -> None:
    named = [name.split(".") for name in ANSWERS]
    assert [f"{service}.{method}" for service, method in named if not has_method(SERVICES[service], method)] == []
