"""Debian's Chromium without a window: the headless shell, which needs a third less CPU time than the browser."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, async_playwright, expect

CHROMIUM = "/usr/bin/chromium-headless-shell"
EXPECTED_WITHIN_MS = 60_000  # a wait ends when its condition holds: this bounds only what never comes
_QUIET = ("--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync")


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A browser without any window; each visitor opens its own."""
    arguments = ["--no-sandbox", "--disable-gpu", *_QUIET]  # CI runs as root
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        try:
            expect.set_options(timeout=EXPECTED_WITHIN_MS)  # else 5 s, which a page needs when the machine is busy
            yield started
        finally:
            await started.close()
