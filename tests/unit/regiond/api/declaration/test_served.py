"""Handlers that call one method of a service, with arguments from the request."""

from collections.abc import Awaitable
from types import SimpleNamespace
from typing import Any

import pytest
from attrs import frozen

from common.errors import NotFound
from regiond.api.declaration import crud
from regiond.api.declaration.endpoint import Call, SiteInfo
from regiond.api.declaration.served import filled, found, given, part, serve, target, text
from regiond.api.resources.accounts.groups import ZONE
from tests.unit.support.api_double import ApiDouble, result_of
from tests.unit.support.api_samples import ADMIN


async def awaited(work: Awaitable[Any]) -> Any:
    return await work


def request(**parts: Any) -> Call:
    usual = {"services": ApiDouble().services(), "path": {}, "values": {}, "signed_by": ADMIN}
    return Call(info=SiteInfo(), endpoint=ZONE.endpoints[0], **{**usual, **parts})


def called(run: crud.Run[Any], name: str, **parts: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments with which a handler calls the method `name`."""
    api = ApiDouble()
    result_of(awaited(run(request(services=api.services(), **parts))))
    made = api.call(name)
    return made.args, dict(made.named)


def test_arguments_are_passed_as_the_method_declares_them() -> None:
    run = serve(lambda s: s.groups.update_zone, "description", name=target("name"), new_name=text("name"))
    values = {"name": "", "description": "cold"}
    passed = called(run, "groups.update_zone", values=values, target=SimpleNamespace(name="east"))
    assert passed == ((ADMIN, "east"), {"new_name": None, "description": "cold"})


def test_an_argument_without_source_keeps_its_default() -> None:
    run = serve(lambda s: s.grants.list, username=given("user"))
    assert called(run, "grants.list", values={"user": "ann"}) == ((ADMIN,), {"username": "ann"})


def test_what_follows_a_default_is_passed_by_name() -> None:
    run = serve(lambda s: s.networks.ranges, "with_discovered")
    assert called(run, "networks.ranges", values={"with_discovered": True}) == ((), {"with_discovered": True})


def test_the_dry_run_of_the_request_is_passed() -> None:
    run = serve(lambda s: s.quotas.delete, quota_id=part("id", number_of="quota"))
    passed = called(run, "quotas.delete", path={"id": "7"}, values={"dry_run": True})
    assert passed == ((ADMIN, 7), {"dry_run": True})


def test_an_empty_text_is_blank() -> None:
    run = serve(lambda s: s.networks.create_space, "name", description=text("description", blank="none"))
    passed = called(run, "networks.create_space", values={"name": "dmz", "description": ""})
    assert passed == ((ADMIN,), {"name": "dmz", "description": "none"})


def test_an_argument_that_the_method_lacks_is_rejected() -> None:
    with pytest.raises(TypeError, match="has no colour"):
        serve(lambda s: s.groups.create_zone, "name", "description", colour=given("name"))


def test_a_needed_argument_without_source_is_rejected() -> None:
    with pytest.raises(TypeError, match="needs name"):
        serve(lambda s: s.groups.delete_zone)


def test_an_object_is_found_as_the_caller_sees_it() -> None:
    api = ApiDouble()
    find = found(lambda s: s.quotas.read, "id", number_of="quota")
    result_of(awaited(find(api.services(), {"id": "id:1"})))
    made = api.call("quotas.read")
    assert (made.args, made.named) == ((1,), {"caller": None})


def test_a_path_without_an_id_finds_nothing() -> None:
    find = found(lambda s: s.quotas.read, "id", number_of="quota")
    with pytest.raises(NotFound, match="quota"):
        result_of(awaited(find(ApiDouble().services(), {"id": "seven"})))


@frozen(kw_only=True)
class Change:
    name: str | None = None
    owner: str | None = None
    limit: int = 3


def test_a_value_has_the_fields_of_its_names() -> None:
    sent = {"name": "east", "owner": "", "user": "ann", "limit": None, "unrelated": True}
    assert filled(Change, owner=given("user"))(request(values=sent)) == Change(name="east", owner="ann")


def test_an_attribute_that_a_value_lacks_is_rejected() -> None:
    with pytest.raises(TypeError, match="has no colour"):
        filled(Change, colour=given("name"))
