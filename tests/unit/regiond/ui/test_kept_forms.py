"""Which forms of an ended session a login carries: those of our own pages, without secrets, and not too long."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest
from attrs import evolve

from regiond.accounts.csrf import csrf_secret, masked
from regiond.accounts.sessions import new_token
from regiond.api.pipeline.authentication import ANONYMOUS_BODY_BYTES
from regiond.ui.serving.kept_form import NO_FORM, carried_form, kept_form, page_of
from regiond.ui.web_request import UI, WebRequest

COOKIE = new_token(7)
ORIGIN = "https://region.example"
FORM: dict[str, tuple[str, ...]] = {
    "csrf": (masked(csrf_secret(COOKIE)),),
    "name": ("east & west",),
    "tag": ("a", "b"),
    "was-name": ("x",),
    "empty": ("",),
}
REQUEST = WebRequest(
    method="POST", path=f"{UI}zones/add", query=(("from", "pools"),), cookie=COOKIE, origin=ORIGIN,
    origin_header=ORIGIN, form=FORM,
)  # fmt: skip


def test_a_form_of_our_own_page_is_carried_without_its_token() -> None:
    kept = kept_form(REQUEST)
    assert kept.address == f"{UI}zones/add?from=pools"
    carried = carried_form(evolve(REQUEST, form={"kept": (kept.text,), "kept_for": (kept.address,), "kept_of": ("7",)}))
    assert carried == kept
    assert carried.fields == {"name": ("east & west",), "tag": ("a", "b"), "was-name": ("x",), "empty": ("",)}
    assert carried.shown == {"name": "east & west", "tag": "a, b"}


@pytest.mark.parametrize(
    "change",
    [
        {"origin_header": "https://evil.example"},
        {"origin_header": None},
        {"origin_header": "null"},
        {"cookie": None},
        {"cookie": "u" * 43},
        {"form": FORM | {"csrf": (masked(csrf_secret("u" * 43)),)}},
        {"form": {"name": ("east",)}},
        {"form": FORM | {"password": ("secret",)}},
        {"form": FORM | {"name": ("x" * ANONYMOUS_BODY_BYTES,)}},
    ],
    ids=["other site", "no origin", "null", "no cookie", "other cookie", "other token", "no token", "secret", "long"],
)
def test_other_forms_are_not_carried(change: dict[str, Any]) -> None:
    assert kept_form(evolve(REQUEST, **change)) == NO_FORM


def test_the_longest_form_that_is_carried_fits_into_a_login() -> None:
    for length in range(11_000, 12_400, 7):
        kept = kept_form(evolve(REQUEST, form=FORM | {"name": ("é" * (length // 10) + "x" * (length % 10),)}))
        login = {"username": "m" * 150, "password": "p" * 1024, "next": UI, "kept": kept.text}
        login |= {"kept_for": kept.address, "kept_of": kept.account}
        assert len(urlencode(login)) <= ANONYMOUS_BODY_BYTES


@pytest.mark.parametrize("address", ["https://evil.example/", "/MAAS/ui//evil.example", "/MAAS/api/2.0/users/", ""])
def test_a_carried_form_is_sent_to_our_pages_only(address: str) -> None:
    assert carried_form(evolve(REQUEST, form={"kept": ("name=x",), "kept_for": (address,)})) == NO_FORM


def test_the_page_of_a_form_is_what_the_browser_reports() -> None:
    assert page_of(evolve(REQUEST, referer=f"{ORIGIN}{UI}zones/add?q=1")) == f"{UI}zones/add?q=1"
    for referer in ("", f"https://evil.example{UI}zones", f"{ORIGIN}/MAAS/api/2.0/", f"{ORIGIN}{UI}/evil.example"):
        assert page_of(evolve(REQUEST, referer=referer)) == ""
