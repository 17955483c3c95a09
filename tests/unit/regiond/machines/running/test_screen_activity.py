"""What a viewer sends by itself is told from what its user does; a screen's connections count as one."""

from __future__ import annotations

import struct

import pytest

from common.errors import Busy
from regiond.machines.running.console.activity import SpiceActivity, VncActivity
from regiond.machines.running.console.limits import ConsoleLimits, OpenConsoles
from regiond.machines.running.console.screens import MAX_CONNECTIONS, OpenScreens
from tests.doubles.vnc_client import INPUTS, MAIN, VERSION, encodings, key, placed_key, pointer, spice_link

HANDSHAKE = VERSION + b"\x01\x01"
ASK = b"\x03\x01" + bytes(8)
ALONE = (
    ASK,
    encodings(0, -260, -223),
    bytes(20),
    bytes((150,)) + bytes(9),
    b"\xfb\x00" + bytes(4) + b"\x01" + bytes(17),
)
OF_USER = (
    key(0x61, down=True),
    placed_key(0x61, 0x1E, down=True),
    pointer(1, 1),
    b"\x06\x00\x00\x00\x00\x00\x00\x02hi",
    b"\x06\x00\x00\x00" + struct.pack(">i", -4) + b"clip",
)


def test_pictures_that_a_viewer_asks_for_are_no_use() -> None:
    activity = VncActivity()
    assert not activity.is_of_user(HANDSHAKE)
    assert not any(activity.is_of_user(ASK) for _ in range(100))
    assert not activity.is_of_user(b"".join(ALONE))
    assert not any(activity.is_of_user(bytes((byte,))) for byte in b"".join(ALONE))


@pytest.mark.parametrize("message", OF_USER)
def test_what_the_user_does_is_use(message: bytes) -> None:
    activity = VncActivity()
    activity.is_of_user(HANDSHAKE)
    assert activity.is_of_user(ASK + message + ASK)
    assert not activity.is_of_user(ASK)
    assert any([activity.is_of_user(bytes((byte,))) for byte in message])
    assert not activity.is_of_user(ASK)


def test_everything_is_use_after_a_message_that_is_not_known() -> None:
    activity = VncActivity()
    assert activity.is_of_user(HANDSHAKE + b"\x63")
    assert activity.is_of_user(ASK)


def test_only_the_keys_and_pointer_of_spice_are_use() -> None:
    main, inputs = SpiceActivity(), SpiceActivity()
    assert not main.is_of_user(spice_link(MAIN))
    assert not main.is_of_user(b"ack")
    assert not inputs.is_of_user(spice_link(INPUTS)[:10])
    assert inputs.is_of_user(spice_link(INPUTS)[10:])
    assert inputs.is_of_user(b"key")


def test_the_connections_of_a_screen_count_once() -> None:
    consoles = OpenConsoles(ConsoleLimits(per_account=1))
    screens = OpenScreens(consoles, now_s=lambda: 1.0)
    key_ = (1, "wdpx3n", "a")
    with screens.connection(key_) as first:
        assert first.begins()
        with screens.connection(key_) as second:
            assert second is first
            assert not second.begins()
            assert not second.ends()
        assert first.ends()
        with pytest.raises(Busy), screens.connection((1, "wdpx3n", "b")):
            pass
    with screens.connection(key_) as again:
        assert again.begins()


def test_a_screen_has_so_many_connections() -> None:
    screens = OpenScreens(OpenConsoles(ConsoleLimits()))
    opened = [screens.connection((1, "wdpx3n", "a")) for _ in range(MAX_CONNECTIONS)]
    for one in opened:
        one.__enter__()
    with pytest.raises(Busy, match=f"{MAX_CONNECTIONS} connections"), screens.connection((1, "wdpx3n", "a")):
        pass
    for one in opened:
        one.__exit__(None, None, None)


def test_a_screen_that_was_never_open_has_no_end() -> None:
    with OpenScreens(OpenConsoles(ConsoleLimits())).connection((1, "wdpx3n", "a")) as screen:
        assert not screen.ends()
