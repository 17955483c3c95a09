"""The form that adds a host, and the table of its first check."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from attrs import evolve

from common.hosts.discovery import Problem
from regiond.hosts.model import HostState
from regiond.ui.hosts.add_form import AddForm, next_step, read_add_form
from regiond.ui.hosts.host_check import host_check
from regiond.ui.web_request import WebRequest
from tests.unit.support.host_samples import HOST

NOW = datetime(2026, 11, 21, tzinfo=UTC)
READY = evolve(HOST, error_code=None, error_message=None, refreshed_at=NOW - timedelta(seconds=4), problems=())


def read(kind: str, **fields: str) -> AddForm:
    sent = {name: (value,) for name, value in fields.items()}
    return read_add_form(WebRequest(method="POST", path="/", form=sent), kind)


def outcomes(**changes: Any) -> dict[str, str]:
    return {line.subject: line.outcome for line in host_check(evolve(READY, **changes), NOW)}


def test_a_form_makes_the_fields_of_its_type_only() -> None:
    typed = {"name": "elm", "power_address": "elm:8443", "password": "token", "power_pass": "x", "key": "pem"}
    assert {name: value for name, value in read("lxd", **typed).fields().items() if value} == {
        "type": "lxd", "name": "elm", "power_address": "elm:8443", "password": "token",
    }  # fmt: skip
    assert "password" not in read("virsh", **typed).fields()
    assert read("virsh", **typed).secret == typed["power_pass"]
    assert "power_pass" in read("virsh", **typed).fields()


def test_a_certificate_of_ones_own_needs_both_parts() -> None:
    assert read("lxd", name="elm", power_address="elm").problems == {}
    missing = read("lxd", name="elm", power_address="elm", pair="supply", certificate="pem").problems
    assert list(missing) == ["key"]


def test_a_link_can_fill_in_the_form_but_no_secret() -> None:
    asked = WebRequest(method="GET", path="/", query=(("power_address", "elm:8443"), ("password", "token")))
    form = read_add_form(asked, "lxd")
    assert (form.values["power_address"], form.secret) == ("elm:8443", "")


@pytest.mark.parametrize(
    ("code", "step"),
    [(None, "check"), ("not_trusted", "trust"), ("peer_changed", "trust"), ("host_unreachable", "check")],
)
def test_only_a_lack_of_trust_is_waited_for(code: str | None, step: str) -> None:
    assert next_step(evolve(READY, error_code=code)) == step


def test_a_good_host_has_no_remedies() -> None:
    lines = host_check(evolve(READY, emulated=False), NOW)
    assert [line.remedy for line in lines if line.outcome == "ok" and line.remedy] == []
    assert lines[0].found == "Answered 4 s ago"


def test_a_host_that_never_answered_has_only_its_reason() -> None:
    host = evolve(READY, total=None, state=HostState.PENDING, error_code="host_unreachable", error_message="No route.")
    (line,) = host_check(evolve(host, certificate_expires_at=None), NOW)
    assert (line.outcome, line.found) == ("fail", "No route.")
    assert line.remedy


def test_what_is_missing_on_a_host_has_a_remedy() -> None:
    found = outcomes(storage_pools=(), networks=(), emulated=True, problems=(Problem(subject="GPUs", message="No."),))
    assert found["Storage pools"] == "fail"
    assert (found["Networks"], found["VM support"], found["GPUs"]) == ("warn", "warn", "warn")
    lines = host_check(evolve(READY, storage_pools=(), networks=()), NOW)
    assert all(line.remedy for line in lines if line.outcome != "ok")


@pytest.mark.parametrize(("days", "outcome"), [(90, "ok"), (10, "warn"), (-2, "fail")])
def test_a_certificate_that_expires_soon_is_told(days: int, outcome: str) -> None:
    assert outcomes(certificate_expires_at=NOW + timedelta(days=days, hours=1))["Our certificate"] == outcome
