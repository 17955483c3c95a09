"""Products and features are recognised by what a server says of itself, never by its version."""

from __future__ import annotations

from typing import Any

import pytest

from common.errors import DriverFailed, HostUnreachable, InnkeeperError, NotTrusted, Unsupported
from rackd.drivers.lxd.connection import failures
from rackd.drivers.lxd.connection.capabilities import REQUIRED, capabilities_of, check_usable
from rackd.drivers.lxd.connection.dialect import INCUS, LXD, dialect_of
from rackd.drivers.lxd.connection.failures import Conflict, NotAuthorized

LXD_BEFORE_TRUST = {"auth": "untrusted", "api_extensions": [*REQUIRED, "explicit_trust_token"]}
INCUS_6_BEFORE_TRUST = {"auth": "untrusted", "api_extensions": [*REQUIRED, "restrict_dev_incus"]}
INCUS_7_BEFORE_TRUST = {"auth": "untrusted", "api_extensions": None}


def trusting(product: str, *extensions: str, driver: str = "lxc | qemu") -> dict[str, Any]:
    environment = {"server": product, "server_version": "1.2", "driver": driver}
    return {"auth": "trusted", "api_extensions": [*REQUIRED, *extensions], "environment": environment}


@pytest.mark.parametrize(
    ("server", "dialect"),
    [
        (LXD_BEFORE_TRUST, LXD), (INCUS_6_BEFORE_TRUST, INCUS), (INCUS_7_BEFORE_TRUST, INCUS),
        (trusting("lxd", "restrict_dev_incus"), LXD), (trusting("incus"), INCUS),
    ],
)  # fmt: skip
def test_the_product_is_known_before_and_after_trust(server: dict[str, Any], dialect: object) -> None:
    assert dialect_of(server) is dialect


def test_each_capability_follows_its_extension() -> None:
    old, new = capabilities_of(trusting("lxd")), capabilities_of(trusting("lxd", "cloud_init", "instances_rebuild"))
    assert (old.cloud_init_keys, old.rebuild, old.version) == (False, False, "1.2")
    assert (new.cloud_init_keys, new.rebuild) == (True, True)


def test_incus_takes_tokens_only_in_their_own_field() -> None:
    assert not capabilities_of(trusting("lxd")).trust_token
    assert capabilities_of(trusting("lxd", "explicit_trust_token")).trust_token
    assert capabilities_of(INCUS_7_BEFORE_TRUST).trust_token
    assert not INCUS.takes_passwords


@pytest.mark.parametrize(
    ("server", "kind", "said"),
    [
        (INCUS_7_BEFORE_TRUST, NotTrusted, "Incus at https://h .*: incus config trust add innkeeper "),
        (LXD_BEFORE_TRUST, NotTrusted, "LXD at https://h .*: lxc config trust add --name innkeeper "),
        ({"auth": "untrusted", "api_extensions": ["projects"]}, Unsupported, "LXD 4.16 or newer, or Incus"),
        (
            trusting("incus", driver="lxc"),
            Unsupported,
            "Incus at https://h cannot run virtual machines .*, then restart Incus",
        ),
    ],
)  # fmt: skip
def test_a_server_that_cannot_be_used_is_named_with_what_helps(
    server: dict[str, Any], kind: type[InnkeeperError], said: str
) -> None:
    with pytest.raises(kind, match=said):
        check_usable(server, "https://h")


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("Missing event connection with target cluster member", HostUnreachable),
        ("Unable to connect to: 10.0.0.2:8443", HostUnreachable),
        ("Server isn't ready yet", HostUnreachable),
        ("Target cluster member is unavailable", HostUnreachable),
        (
            'Patch "https://10.0.0.2:8443/1.0/instances/web?project=default": read tcp 10.0.0.1:58404->10.0.0.2:8443: '
            "read: connection reset by peer",
            HostUnreachable,
        ),
        ('Get "https://images.example/streams/v1/index.json": EOF', DriverFailed),
        ('Instance "web" already exists', Conflict),
        ("UNIQUE constraint failed: instances.project_id, instances.name", Conflict),
        ("Certificate is restricted", NotAuthorized),
        ('User does not have permissions for project "default"', NotAuthorized),
        ("Cluster member is evacuated", DriverFailed),
        ("disk full", DriverFailed),
    ],
)
def test_the_reason_of_a_failure_tells_its_kind(reason: str, kind: type[InnkeeperError]) -> None:
    found = failures.of_response(500, reason, INCUS, server="https://h", what="POST /1.0/instances")
    assert type(found) is kind
    assert "Incus" in str(found)


@pytest.mark.parametrize(
    ("reason", "helps"),
    [
        ("Cluster member is evacuated", "incus cluster restore MEMBER"),
        (
            "This project doesn't allow cluster member targeting",
            "incus project set PROJECT restricted.cluster.target=allow",
        ),
        ('Project isn\'t allowed to use this cluster member: "two"', "incus cluster group assign"),
    ],
)
def test_a_rule_of_a_cluster_is_no_matter_of_trust(reason: str, helps: str) -> None:
    found = failures.of_response(403, reason, INCUS, server="https://h", what="POST /1.0/instances")
    assert type(found) is DriverFailed
    assert str(found).endswith(helps)
    assert "certificate" not in str(found)
