"""The VNC server of pictures and keys: RFB 3.8 to the letter, and nothing that a client can break."""

from __future__ import annotations

import asyncio
import struct
import zlib

import pytest
from attrs import evolve

from common.errors import DriverFailed, InvalidRequest, Unsupported
from rackd.drivers.rfb.picture import Picture, picture_of
from rackd.drivers.rfb.protocol import MAX_CUT_TEXT_BYTES, Asked, Event, Key, RfbServer
from rackd.drivers.rfb.screen import PictureScreen
from rackd.drivers.simulated.screens.screen import KEYS_FROM, SimulatedDisplay, colour_of
from tests.doubles.vnc_client import (
    DESKTOP_SIZE,
    EXTENDED_KEY,
    RAW,
    TIGHT_PNG,
    VERSION,
    encodings,
    key,
    placed_key,
    pointer,
    threaded,
)

PICTURE = Picture(width=2, height=1, rgb=b"\x01\x02\x03\xf1\xf2\xf3")
BGR = struct.pack(">BxxxBBBBHHHBBBxxx", 0, 32, 24, 0, 1, 255, 255, 255, 0, 8, 16)
ASK = b"\x03\x00" + bytes(8)


def begun() -> RfbServer:
    server = RfbServer("web", PICTURE)
    assert server.output() == VERSION
    assert events(server, VERSION) == []
    assert server.output() == b"\x01\x01"
    events(server, b"\x01")
    assert server.output() == bytes(4)
    events(server, b"\x01")
    begins = server.output()
    assert begins[:4] == b"\x00\x02\x00\x01"
    assert begins[20:] == b"\x00\x00\x00\x03web"
    return server


def events(server: RfbServer, data: bytes) -> list[Event]:
    return list(server.receive(data))


def test_messages_become_events_however_they_are_cut() -> None:
    sent = encodings(RAW) + ASK + key(0x61, down=True) + pointer(3, 4) + placed_key(0x61, 0x1E, down=False)
    sent += b"\x06\x00\x00\x00\x00\x00\x00\x02hi" + BGR
    expected = [Asked(incremental=False), Key(0x61, True), Key(0x61, False, 0x1E)]
    assert events(begun(), sent) == expected
    server = begun()
    assert [event for byte in sent for event in server.receive(bytes((byte,)))] == expected


def test_pixels_have_the_order_that_the_client_chose() -> None:
    server = begun()
    server.show(PICTURE)
    assert server.output()[16:] == b"\x03\x02\x01\x00\xf3\xf2\xf1\x00"
    events(server, BGR)
    server.show(PICTURE)
    assert server.output()[16:] == b"\x01\x02\x03\x00\xf1\xf2\xf3\x00"


def test_another_size_is_announced_before_its_picture() -> None:
    server = begun()
    larger = Picture(width=3, height=1, rgb=bytes(9))
    with pytest.raises(Unsupported, match="another size"):
        server.show(larger)
    server = begun()
    events(server, encodings(DESKTOP_SIZE, EXTENDED_KEY))
    server.show(larger)
    sent = server.output()
    assert sent[:4] == b"\x00\x00\x00\x03"
    kinds = [struct.unpack(">i", sent[at : at + 4])[0] for at in (12, 24, 36)]
    assert kinds == [EXTENDED_KEY, DESKTOP_SIZE, RAW]


def test_a_picture_that_is_only_png_needs_a_client_that_takes_it() -> None:
    png = picture_of(PICTURE.as_png())
    assert (png.width, png.height, png.rgb) == (2, 1, None)
    with pytest.raises(Unsupported, match="PNG"):
        begun().show(png)
    server = begun()
    events(server, encodings(TIGHT_PNG))
    server.show(png)
    assert server.output().endswith(PICTURE.as_png())


def test_png_has_the_pixels() -> None:
    png = PICTURE.as_png()
    start = png.index(b"IDAT")
    (length,) = struct.unpack(">I", png[start - 4 : start])
    assert zlib.decompress(png[start + 4 : start + 4 + length]) == b"\x00" + (PICTURE.rgb or b"")
    assert picture_of(b"P6\n2 1\n255\n" + (PICTURE.rgb or b"")) == PICTURE


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"P6\n2 1\n255\nshort", b"P6\n0 0\n255\n", PICTURE.as_png()[:20]])
def test_what_is_no_screenshot_is_said(content: bytes) -> None:
    with pytest.raises(DriverFailed, match="hypervisor sent"):
        picture_of(content)


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"\x63" + bytes(20), "unknown kind"),
        (b"\x06\x00\x00\x00" + struct.pack(">i", MAX_CUT_TEXT_BYTES + 1), "too long"),
        (b"\x06\x00\x00\x00" + struct.pack(">i", -MAX_CUT_TEXT_BYTES - 1), "too long"),
    ],
)
def test_a_client_that_breaks_the_protocol_is_refused(sent: bytes, reason: str) -> None:
    with pytest.raises(InvalidRequest, match=reason):
        events(begun(), sent)


def test_a_client_without_rfb_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"RFB 3\.8"):
        events(RfbServer("web", PICTURE), b"GET / HTTP/1.1\r\n")
    server = RfbServer("web", PICTURE)
    with pytest.raises(InvalidRequest, match="security"):
        events(server, VERSION + b"\x02")


def test_pixels_of_another_kind_are_refused() -> None:
    server = begun()
    with pytest.raises(Unsupported, match="32 bits"):
        events(server, BGR[:4] + b"\x08" + BGR[5:])


async def test_keys_change_the_picture_that_was_asked_for() -> None:
    is_on = True
    display = SimulatedDisplay(lambda: is_on)
    first = display.picture()
    assert first is not None
    stream = PictureScreen("web", display, first)
    viewer = threaded(stream)
    screen = await viewer.connect()
    assert (screen.width, screen.height, screen.name) == (320, 240, "web")
    (whole,) = await viewer.picture(screen)
    waiting = asyncio.create_task(viewer.picture(screen, incremental=True))
    await viewer.write(key(0x61, down=True))
    (changed,) = await waiting
    at = 4 * screen.width * KEYS_FROM
    assert changed.content[:at] == whole.content[:at]
    red, green, blue = colour_of(0x61)
    assert changed.content[at : at + 4] == bytes((blue, green, red, 0))
    is_on = False
    await viewer.write(b"\x03\x00" + bytes(8))
    assert await viewer.read() == b""
    stream.close()
    assert await viewer.read() == b""


def test_a_picture_of_the_same_screen_is_equal() -> None:
    assert evolve(PICTURE) == PICTURE
