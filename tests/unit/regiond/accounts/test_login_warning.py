"""`op=deploy` warns if nobody will be able to log in to the machine."""

from __future__ import annotations

import pytest
from attrs import evolve

from tests.unit.support.api_double import ApiDouble
from tests.unit.support.machine_samples import MACHINE

DEPLOY = "machines/wdpx3n/"


@pytest.fixture
def api() -> ApiDouble:
    """No user has an SSH key."""
    double = ApiDouble()
    double.answers["ssh_keys.count_of"] = 0
    return double


def test_deploying_without_keys_and_user_data_warns(api: ApiDouble) -> None:
    for headers in ({}, {"prefer": "respond-async"}):
        reply = api.request("POST", DEPLOY, op="deploy", **headers)
        assert "ann has no SSH key and there is no user data" in reply.headers["Warning"]
        assert "nobody will be able to log in to" in reply.headers["Warning"]


def test_a_machine_without_an_owner_gets_the_keys_of_the_caller(api: ApiDouble) -> None:
    api.answers["machines.read"] = evolve(MACHINE, owner=None)
    api.answers["ssh_keys.count_of"] = lambda owner: int(owner == "ann")
    reply = api.request("POST", DEPLOY, op="deploy")
    assert reply.headers["Warning"].startswith('299 - "admin has no SSH key')


def test_user_data_or_a_key_of_the_owner_is_enough(api: ApiDouble) -> None:
    assert "Warning" not in api.request("POST", DEPLOY, op="deploy", form={"user_data": "IyEvYmluL3No"}).headers
    api.answers["ssh_keys.count_of"] = lambda owner: int(owner == "ann")
    assert "Warning" not in api.request("POST", DEPLOY, op="deploy").headers
