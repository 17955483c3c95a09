"""Responses of a rack that contradict the request are detected."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from attrs import evolve

from common.addresses.host_identity import MAX_CHARACTERS, identity_fingerprint
from common.guests.guest_spec import GuestSpec
from common.rpc.commands.host_commands import ComposeCall, Fence, FoundGuest, GuestCall, HostCall, MarkerCall, Reached
from common.trust.certificates import fingerprint, load_certificate, make_authority, make_key, utc_now
from common.values import DriverType, Guest, HostAccess, OwnershipMarker, PeerIdentity, PowerState
from regiond.racks.calls.response_validation import response_problem

INSTALLATION = UUID(int=1)
MARKER = OwnershipMarker(installation_id=INSTALLATION, machine_id=UUID(int=2))
OTHER = evolve(MARKER, machine_id=UUID(int=3))
ACCESS = HostAccess(host_id=1, driver=DriverType.SIMULATED, address="simulated:a", installation_id=INSTALLATION)
SPEC = GuestSpec(name="vm", marker=MARKER, architecture="amd64", cores=2, memory_mib=2048, disks=())
FENCE = Fence(machine_id=str(MARKER.machine_id), operation_id=1, attempt=1)
COMPOSE = ComposeCall(access=ACCESS, spec=SPEC, fence=FENCE)
ADOPT = MarkerCall(access=ACCESS, guest_id="7", guest_name="vm", marker=MARKER, fence=FENCE)
FIND = GuestCall(access=ACCESS, guest=SPEC.ref)
_PEM = make_authority("lxd1", utc_now())[1]
CERTIFICATE = PeerIdentity(kind="tls-certificate", fingerprint=fingerprint(load_certificate(_PEM)), material=_PEM)
_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ3eHSm7aCzuQhHQbeVVOyBDrIYDCTqsUu8VBbUTgPmb"
HOST_KEY = PeerIdentity(kind="ssh-host-key", fingerprint=identity_fingerprint(_KEY), material=_KEY)
GUEST = Guest(name="vm", guest_id="7", power=PowerState.ON, cores=2, memory_mib=2048, marker=MARKER)


@pytest.mark.parametrize(
    ("call", "response"),
    [
        (COMPOSE, GUEST),
        (COMPOSE, evolve(GUEST, name="renamed")),
        (COMPOSE, evolve(GUEST, cores=0)),
        (ADOPT, GUEST),
        (FIND, FoundGuest(guest=GUEST)),
        (FIND, FoundGuest(guest=None)),
        (HostCall(access=ACCESS), Reached(hypervisor_version="1.0")),
        (HostCall(access=ACCESS), CERTIFICATE),
        (HostCall(access=ACCESS), HOST_KEY),
    ],
)
def test_a_plausible_response_has_no_problem(call: Any, response: Any) -> None:
    assert response_problem(call, response) is None


@pytest.mark.parametrize(
    ("call", "response", "problem"),
    [
        (COMPOSE, evolve(GUEST, marker=OTHER), f"has the marker of machine {OTHER.machine_id}"),
        (COMPOSE, evolve(GUEST, marker=None), "has no marker"),
        (COMPOSE, evolve(GUEST, cores=4), "has 4 cores and 2048 MiB instead of 2 cores and 2048 MiB"),
        (COMPOSE, evolve(GUEST, memory_mib=1), "has 2 cores and 1 MiB"),
        (ADOPT, evolve(GUEST, marker=OTHER), "has the marker of machine"),
        (ADOPT, evolve(GUEST, guest_id="8"), "reports guest '8' instead of '7'"),
        (
            FIND,
            FoundGuest(guest=evolve(GUEST, marker=evolve(MARKER, installation_id=UUID(int=4)))),
            "has a marker of another installation",
        ),
    ],
)
def test_another_machine_guest_or_size_is_a_problem(call: Any, response: Any, problem: str) -> None:
    assert problem in (response_problem(call, response) or "")


@pytest.mark.parametrize(
    ("response", "problem"),
    [
        (evolve(CERTIFICATE, fingerprint="ab" * 32), "not " + "ab" * 32),
        (evolve(HOST_KEY, fingerprint="SHA256:x"), "not SHA256:x"),
        (evolve(HOST_KEY, material="ssh-ed25519 ???"), "its ssh-host-key cannot be pinned: neither"),
        (evolve(HOST_KEY, material=""), "its ssh-host-key cannot be pinned: neither"),
        (evolve(CERTIFICATE, material="-----BEGIN CERTIFICATE-----"), "its tls-certificate cannot be pinned: not a"),
    ],
)
def test_an_identity_with_another_fingerprint_is_a_problem(response: PeerIdentity, problem: str) -> None:
    assert problem in (response_problem(HostCall(access=ACCESS), response) or "")


_OTHER_PEM = make_authority("another", utc_now())[1]
_OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"


@pytest.mark.parametrize(
    "response",
    [
        evolve(CERTIFICATE, material=_PEM + _OTHER_PEM),
        evolve(CERTIFICATE, material=_PEM + make_key()),
        evolve(CERTIFICATE, material="a comment\n" + _PEM),
        evolve(CERTIFICATE, material=_PEM + "\n"),
        evolve(CERTIFICATE, material=_PEM.strip()),
        evolve(CERTIFICATE, material=_PEM.replace("\n", "\r\n")),
        evolve(CERTIFICATE, material=_PEM + "#" * MAX_CHARACTERS),
        evolve(HOST_KEY, material=f"{_KEY}\n* {_OTHER_KEY}"),
        evolve(HOST_KEY, material=f"{_KEY}\n"),
        evolve(HOST_KEY, material=f"{_KEY} a comment"),
        evolve(HOST_KEY, material=_KEY.replace(" ", "  ")),
        evolve(HOST_KEY, material=f"ssh-rsa {_KEY.split()[1]}"),
        evolve(HOST_KEY, material=f"@cert-authority * {_KEY}"),
    ],
)
def test_an_identity_is_exactly_one_certificate_or_key(response: PeerIdentity) -> None:
    problem = response_problem(HostCall(access=ACCESS), response)
    assert (problem or "").startswith(f"its {response.kind} cannot be pinned: ")
