"""Whatever an LXD server answers, each call of the driver ends in a value or a known error."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from common.boot import BootDevice
from common.errors import DriverFailed, InnkeeperError, OutOfCapacity
from common.guests.guest_spec import DiskSpec, NicSpec
from common.guests.sizes import DiskSize, GuestSize
from common.rpc.frames import Done, Unsendable, encode
from common.serialization import to_dict
from common.values import GuestRef, NicKind, PowerAction
from rackd.drivers.lxd.connection.client import Scope
from rackd.drivers.lxd.connection.events import change_of
from rackd.drivers.lxd.connection.trust import decode_token
from rackd.drivers.lxd.driver import LxdDriver
from regiond.credentials.model import read_trust_token
from tests.doubles.lxd_answers import GIB, AnsweringLxd, answering_lxd, documented, key_pair
from tests.unit.rackd.lxd.test_lxd_guests import MARKER, OWN_ID

GUEST = GuestRef(name="vm1", marker=MARKER)
NESTED = b'{"metadata":' + b"[" * 100_000
SERVED = settings(max_examples=settings().max_examples // 4)  # an example makes dozens of requests
SPARE = DiskSpec(volume="spare", pool_id="main", size_bytes=GIB, serial="lxd_disk2")
NIC = NicSpec(name="eth2", mac_address="52:54:00:00:00:09", kind=NicKind.BRIDGE, source="br0")


def grown(volume: str) -> DiskSize:
    return DiskSize(pool_id="main", volume=volume, size_bytes=9 * GIB)


CALLS: dict[str, Callable[[LxdDriver], object]] = {
    "reach": lambda driver: driver.reach(),
    "discover": lambda driver: driver.discover(),
    "projects": lambda driver: driver.projects(),
    "find": lambda driver: driver.find(GUEST),
    "find_image": lambda driver: driver.find_image(alias="noble"),
    "power": lambda driver: driver.power(GUEST, PowerAction.FORCE_OFF, grace_s=0.0),
    "set_boot_order": lambda driver: driver.set_boot_order(GUEST, (BootDevice.DISK,)),
    "resize": lambda driver: driver.resize(GUEST, GuestSize(cores=2, memory_mib=4096)),
    "attach_disk": lambda driver: driver.attach_disk(GUEST, SPARE, 2, create=True),
    "detach_disk": lambda driver: driver.detach_disk(GUEST, "main", "data"),
    "grow_disk": lambda driver: driver.grow_disk(GUEST, grown("data")),
    "grow_root": lambda driver: driver.grow_disk(GUEST, grown("root")),
    "attach_nic": lambda driver: driver.attach_nic(GUEST, NIC),
    "change_nic": lambda driver: driver.change_nic(GUEST, "00:16:3e:00:00:01", NIC),
    "detach_nic": lambda driver: driver.detach_nic(GUEST, "00:16:3e:00:00:01"),
    "adopt": lambda driver: driver.adopt(OWN_ID, "vm1", MARKER),
    "disown": lambda driver: driver.disown(OWN_ID, "vm1", MARKER),
    "decompose": lambda driver: driver.decompose(GUEST),
    "make_project": lambda driver: driver.make_project("test"),
    "trust": lambda driver: driver.trust(key_pair().certificate_pem, "test", "secret"),
}
CHANGES = (
    "power", "resize", "set_boot_order", "attach_disk", "detach_disk", "grow_disk", "grow_root", "attach_nic",
    "change_nic", "detach_nic", "adopt", "disown", "decompose", "make_project", "trust",
)  # fmt: skip
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from(["²", "9" * 5000, "default", "m1", "vm1", "1-99999", "1GiB", "virtual-machine"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@pytest.fixture(scope="module")
def lxd() -> Iterator[AnsweringLxd]:
    with answering_lxd() as served:
        yield served


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values in a JSON value, its own first."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    return [path, *(found for key, one in inner for found in places(one, (*path, key)))]


def replaced(value: Any, path: tuple[Any, ...], by: Any) -> Any:
    if not path:
        return by
    changed = dict(value) if isinstance(value, dict) else list(value)
    changed[path[0]] = replaced(changed[path[0]], path[1:], by)
    return changed


@st.composite
def damaged_answers(draw: st.DrawFn) -> dict[str, Any]:
    """The documented answers with one to three values in them replaced."""
    answers = deepcopy(documented())
    for _ in range(draw(st.integers(1, 3))):
        where = draw(st.sampled_from(sorted(answers)))
        path = draw(st.sampled_from(places(answers[where])))
        answers[where] = replaced(answers[where], path, draw(json_values))
    return answers


def ends_well(lxd: AnsweringLxd, call: Callable[[LxdDriver], object]) -> None:
    driver = lxd.driver()
    try:
        with capture_logs(), suppress(InnkeeperError):  # printing a traceback takes longer than the call
            sent = to_dict(call(driver))
            with suppress(Unsendable):  # the caller receives an error that names it
                encode(Done(id=1, body=sent))
    finally:
        driver.close()


@pytest.mark.parametrize("name", CALLS)
def test_documented_answers_are_read(lxd: AnsweringLxd, name: str) -> None:
    lxd.answers = documented()
    driver = lxd.driver()
    try:
        CALLS[name](driver)
    finally:
        driver.close()


@pytest.mark.slow
@SERVED
@given(damaged_answers())
def test_a_damaged_answer_to_a_read_is_a_value_or_an_error(lxd: AnsweringLxd, answers: dict[str, Any]) -> None:
    lxd.answers = answers
    for name in ("discover", "projects", "find", "find_image"):
        ends_well(lxd, CALLS[name])


@SERVED
@given(damaged_answers(), st.sampled_from(CHANGES))
def test_a_damaged_answer_to_a_change_is_an_error_at_most(
    lxd: AnsweringLxd, answers: dict[str, Any], name: str
) -> None:
    lxd.answers = answers
    ends_well(lxd, CALLS[name])


@pytest.mark.slow
@SERVED
@given(st.sampled_from(sorted(documented())), json_values | st.binary(max_size=50) | st.just(NESTED))
def test_a_body_that_is_no_answer_is_an_error(lxd: AnsweringLxd, where: str, body: Any) -> None:
    lxd.answers = documented()
    lxd.bodies = {where: body if isinstance(body, bytes) else json.dumps(body).encode()}
    try:
        for name in ("reach", "discover", "projects"):
            ends_well(lxd, CALLS[name])
    finally:
        lxd.bodies = {}


def test_an_answer_that_cannot_be_read_names_the_call(lxd: AnsweringLxd) -> None:
    lxd.answers = {**documented(), "resources": {"cpu": None, "memory": []}}
    driver = lxd.driver()
    try:
        with pytest.raises(DriverFailed, match="cannot read, to 'discover': AttributeError"):
            driver.discover()
    finally:
        driver.close()


events = st.fixed_dictionaries(
    {"action": st.sampled_from(["instance-started", "virtual-machine-deleted", "-"]), "source": st.text(max_size=30)}
)
tokens = st.fixed_dictionaries({name: json_values for name in ("fingerprint", "secret", "expires_at", "addresses")})


@given(st.dictionaries(st.sampled_from(["metadata", "location", "project", "type"]), json_values | events))
def test_any_event_is_a_change_or_none_or_malformed(event: dict[str, Any]) -> None:
    with suppress(ValueError, AttributeError, TypeError):  # which the watch logs
        change_of(event, Scope(project="default", member="m1"))


@given(json_values | tokens | st.just(NESTED))
def test_any_text_is_a_trust_token_or_a_password(content: Any) -> None:
    plain = content if isinstance(content, bytes) else json.dumps(content).encode()
    for text in (base64.b64encode(plain).decode(), plain.decode(errors="replace")):
        decode_token(text)
        read_trust_token(text)


def test_a_server_without_single_cores_is_asked_for_their_total(lxd: AnsweringLxd) -> None:
    """Discovery reads them so. Without it no guest could get more cores."""
    lxd.answers = {**documented(), "resources": {"cpu": {"total": 4}, "memory": {"total": 2**33}}}
    driver = lxd.driver()
    try:
        driver.resize(GUEST, GuestSize(cores=4, memory_mib=4096))
        with pytest.raises(OutOfCapacity, match=r"5 cores: LXD at .* has 4 cores"):
            driver.resize(GUEST, GuestSize(cores=5, memory_mib=4096))
    finally:
        driver.close()
