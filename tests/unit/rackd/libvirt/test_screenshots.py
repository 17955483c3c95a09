"""Keys of a viewer as libvirt presses them: all of a combination at once."""

from __future__ import annotations

from typing import Any, cast

import pytest

from common.errors import DriverFailed
from rackd.drivers.libvirt.guests.screenshots import ScreenshotDisplay
from rackd.drivers.rfb.protocol import Key

CONTROL, ALT, DELETE, A, SHIFT, SUPER = 0x1D, 0x38, 0xD3, 0x1E, 0x2A, 0xDB


class Screen:
    """A domain that records the keys."""

    def __init__(self) -> None:
        self.pressed: list[tuple[int, ...]] = []
        self.active = True

    def send_keys(self, codes: tuple[int, ...]) -> None:
        self.pressed.append(codes)

    def screenshot(self) -> bytes:
        raise DriverFailed("no screenshot")

    def is_active(self) -> bool:
        return self.active


def press(*keys: tuple[int | None, bool]) -> list[tuple[int, ...]]:
    screen = Screen()
    display = ScreenshotDisplay(cast(Any, screen))
    for code, down in keys:
        display.press(Key(0, down, code))
    return screen.pressed


def test_a_combination_is_pressed_at_once() -> None:
    down = ((CONTROL, True), (ALT, True), (DELETE, True))
    up = ((DELETE, False), (ALT, False), (CONTROL, False))
    assert press(*down, *up) == [(CONTROL, ALT, DELETE)]


def test_keys_without_their_modifiers_are_pressed_alone() -> None:
    assert press((SHIFT, True), (A, True), (A, False), (SHIFT, False), (A, True)) == [(SHIFT, A), (A,)]


def test_a_modifier_that_is_released_alone_is_a_key() -> None:
    assert press((SUPER, True), (SUPER, False)) == [(SUPER,)]


@pytest.mark.parametrize("code", [None, 0, 0x100])
def test_keys_without_a_place_on_the_keyboard_are_left_out(code: int | None) -> None:
    assert press((code, True)) == []


def test_a_domain_that_has_ended_has_no_picture() -> None:
    screen = Screen()
    display = ScreenshotDisplay(cast(Any, screen))
    with pytest.raises(DriverFailed):
        display.picture()
    screen.active = False
    assert display.picture() is None
