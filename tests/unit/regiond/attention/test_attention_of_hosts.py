"""What hosts with an error say in the list of what needs attention: by the kind of the error, and with the command."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from common import errors
from common.errors import InnkeeperError
from regiond.attention.model import AttentionItem, AttentionKind, Found, ObjectType
from regiond.attention.wording import HIDDEN_CAUSE, HIDDEN_REMEDY, HIDDEN_TRUST, RETRIED, item_of
from regiond.hosts.discovery import restored
from regiond.hosts.error_details import ErrorDetails, Secret, TrustProblem, to_column

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
OLD, NEW = "ab" * 32, "cd" * 32
KEY = "SHA256:" + "a" * 43
_K = AttentionKind
CODES = sorted(
    [restored.CODE]
    + [one.code for one in vars(errors).values() if isinstance(one, type) and issubclass(one, InnkeeperError)]
)


def item(kind: AttentionKind, *, is_admin: bool = True, **facts: Any) -> AttentionItem:
    facts = {
        "error": "It says no",
        "details": {},
        "driver": "lxd",
        "reached": True,
        "product": "LXD",
        "others": [],
        **facts,
    }
    found = Found(
        kind=kind, object_type=ObjectType.HOST, object_id="3", name="elm", broken=True, since=NOW, host_id=3,
        host_name="elm", facts=facts,
    )  # fmt: skip
    return item_of(found, NOW, is_admin=is_admin)


def trust(details: ErrorDetails | None, code: str = "peer_changed", **facts: Any) -> AttentionItem:
    kind = _K.HOST_NOT_TRUSTED if code == "not_trusted" else _K.HOST_REJECTED
    return item(kind, code=code, details=None if details is None else to_column(details), **facts)


@pytest.mark.parametrize(
    ("details", "code", "what", "parts"),
    [
        (
            ErrorDetails(kind=TrustProblem.IDENTITY_CHANGED, pinned=OLD, offered=NEW), "peer_changed",
            "presents another fingerprint than the pinned one",
            (
                "lxc info | grep certificate_fingerprint.",
                f"if it prints {NEW}, run: innkeeper vm-host trust 3 fingerprint={NEW}.",
            ),
        ),
        (
            ErrorDetails(kind=TrustProblem.SERVER_CHANGED, known="lxd/a", reported="lxd/b c"), "peer_changed",
            "reports that it is another server", ("run: innkeeper vm-host confirm-server 3 identity='lxd/b c'.",),
        ),
        (
            ErrorDetails(kind=TrustProblem.SERVER_UNCONFIRMED, reported="virsh/a", host=7), "server_unconfirmed",
            "reports that it is the server of another host",
            ("run: innkeeper vm-host confirm-server 3 host=7.", "host_uuid in /etc/libvirt/libvirtd.conf"),
        ),
        (
            ErrorDetails(kind=TrustProblem.SECRET_REJECTED, secret=Secret.TOKEN), "not_trusted", "refused the token",
            ("works once", "lxc config trust add --name innkeeper."),
        ),
        (
            ErrorDetails(kind=TrustProblem.PASSWORD_NOT_SENT, offered=NEW, secret=Secret.PASSWORD), "not_trusted",
            "waits until its fingerprint is confirmed", (f"innkeeper vm-host trust 3 fingerprint={NEW}.",),
        ),
        (
            ErrorDetails(kind=TrustProblem.KEY_REJECTED), "not_trusted", "does not accept our SSH key",
            ("authorized_keys",),
        ),
        (ErrorDetails(kind=TrustProblem.NOT_TRUSTED), "not_trusted", "waits for trust", ("lxc config trust add",)),
        (ErrorDetails(), "not_trusted", "waits for trust", ("what the message says",)),
        (None, "peer_changed", "is rejected", ("Refresh the host",)),
    ],
)  # fmt: skip
def test_a_problem_of_trust_names_the_command(
    details: ErrorDetails | None, code: str, what: str, parts: tuple[str, ...]
) -> None:
    said = trust(details, code)
    assert said.what == what
    assert [part for part in parts if part not in said.remedy] == []
    assert said.cause.endswith(".")


@pytest.mark.parametrize("problem", TrustProblem)
def test_a_problem_with_an_incus_server_names_its_commands(problem: TrustProblem) -> None:
    said = trust(ErrorDetails(kind=problem, offered=NEW, secret=Secret.TOKEN), product="Incus")
    assert "lxc" not in said.remedy
    assert "LXD" not in said.remedy


def test_both_commands_are_said_while_the_product_is_not_known() -> None:
    said = trust(ErrorDetails(kind=TrustProblem.TOKEN_OF_OTHER_SERVER), product="")
    assert "lxc config trust add --name innkeeper, or with Incus: incus config trust add innkeeper." in said.remedy


def test_no_command_is_said_twice() -> None:
    message = f"It presents {NEW}. Accept it with: innkeeper vm-host trust 3 fingerprint={NEW}"
    said = trust(ErrorDetails(kind=TrustProblem.IDENTITY_CHANGED, pinned=OLD, offered=NEW), error=message)
    assert said.cause.startswith(f"It presents {NEW} instead of {OLD}. If nobody replaced its certificate")
    assert "innkeeper" not in said.cause
    waits = trust(
        ErrorDetails(kind=TrustProblem.NOT_TRUSTED), "not_trusted", error="On that server run: c=$(curl -fsS …)"
    )
    assert "run: c=$(curl" in waits.cause
    assert waits.remedy.startswith("Run that command on the server.")


def test_an_ssh_host_key_is_compared_with_ssh_keygen() -> None:
    details = ErrorDetails(kind=TrustProblem.IDENTITY_CHANGED, offered=KEY)
    remedy = trust(details, driver="virsh").remedy
    assert "ssh-keygen -l -f" in remedy
    assert f"innkeeper vm-host trust 3 fingerprint={KEY}." in remedy


@pytest.mark.parametrize("problem", TrustProblem)
def test_every_problem_of_trust_has_a_remedy_of_its_own(problem: TrustProblem) -> None:
    for details in (ErrorDetails(kind=problem), ErrorDetails(kind=problem, offered=NEW, reported="virsh/a", host=7)):
        said = trust(details)
        assert said.remedy.endswith(".")
        assert "what the message says" not in said.remedy


@pytest.mark.parametrize("problem", [TrustProblem.SERVER_CHANGED, TrustProblem.SERVER_UNCONFIRMED])
def test_a_problem_without_its_facts_leads_to_the_page_of_the_host(problem: TrustProblem) -> None:
    said = trust(ErrorDetails(kind=problem))
    assert "confirm it on the host's page" in said.remedy
    assert "None" not in said.cause


def test_users_read_that_trust_is_missing_where_no_server_is_in_doubt() -> None:
    assert trust(ErrorDetails(kind=TrustProblem.NOT_TRUSTED), code="not_trusted", is_admin=False).remedy == HIDDEN_TRUST


def test_users_are_not_told_commands_of_administrators() -> None:
    details = to_column(ErrorDetails(kind=TrustProblem.IDENTITY_CHANGED, offered=NEW))
    said = item(_K.HOST_REJECTED, is_admin=False, code="peer_changed", details=details)
    assert (said.cause, said.remedy) == (HIDDEN_CAUSE, HIDDEN_REMEDY)


@pytest.mark.parametrize("code", CODES)
def test_users_are_not_sent_to_a_message_that_they_do_not_see(code: str) -> None:
    said = item(_K.HOST_UNREACHABLE, is_admin=False, code=code)
    assert (said.cause, said.remedy) == (HIDDEN_CAUSE, RETRIED)


@pytest.mark.parametrize("code", CODES)
def test_only_a_host_that_is_not_reached_points_to_the_network(code: str) -> None:
    said = item(_K.HOST_UNREACHABLE, code=code)
    assert said.what
    assert said.remedy.endswith(".")
    assert ("network" in said.remedy) == (code == "host_unreachable")
    assert ("unreachable" in said.what) == (code == "host_unreachable")


@pytest.mark.parametrize(
    ("code", "what", "part"),
    [
        ("rack_unreachable", "has no rack that reaches it", "Start a rack that serves its zone"),
        ("driver_failed", "cannot be refreshed", "Correct on the host what the message says"),
        ("host_hung", "does not respond", "Check its hypervisor"),
        ("deadline_exceeded", "answers too slowly", "load of the host"),
        ("unsupported_by_peer", "has no rack with its driver", "Install the driver"),
        (restored.CODE, "was not refreshed", "a rack that serves its zone is connected. The region retries by itself."),
        ("a_code_of_tomorrow", "cannot be refreshed", "then refresh the host"),
    ],
)
def test_an_error_of_a_host_has_words_of_its_kind(code: str, what: str, part: str) -> None:
    said = item(_K.HOST_UNREACHABLE, code=code)
    assert said.what == what
    assert part in said.remedy


def test_a_host_that_was_never_reached_says_so() -> None:
    assert item(_K.HOST_UNREACHABLE, code="host_unreachable", reached=False).what == "has not been reached yet"
    assert item(_K.HOST_UNREACHABLE, code=None, error=None).what == "is unreachable"
