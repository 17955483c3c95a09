"""What a question showed: an answer confirms that and less, never more."""

from __future__ import annotations

from typing import Any

import pytest

from regiond.ui.forms.refusal import NOT_REFUSED
from regiond.ui.forms.shown_plan import digests_of, refusal_of_plan


def guest(name: str, **changes: Any) -> dict[str, Any]:
    volume = {"name": f"ik-{name}", "storage_pool": "default", "size": 8}
    return {
        "name": name, "host": "alder", "system_id": f"id-{name}", "adopted": False, "locked": False,
        "power_state": "off", "volumes": [volume], **changes,
    }  # fmt: skip


def plan(**changes: Any) -> dict[str, Any]:
    return {
        "name": "alder", "confirm": "name", "deleted": [guest("web"), guest("db")], "kept": [guest("old")], "lost": [],
        "certificates": [{"fingerprint": "ab", "removed": True, "explanation": ""}], "effects": ["Copies are deleted."],
        **changes,
    }  # fmt: skip


SHOWN = digests_of(plan())
FOREIGN = guest("foreign", system_id=None, volumes=[])


@pytest.mark.parametrize(
    "now",
    [
        plan(),
        plan(deleted=[guest("db")]),
        plan(deleted=[guest("web", volumes=[]), guest("db")]),
        plan(kept=[guest("old", power_state="on"), FOREIGN]),
        plan(certificates=[{"fingerprint": "ab", "removed": False, "explanation": "cannot connect"}]),
        plan(effects=[]),
        None,
    ],
)
def test_the_same_effects_and_fewer_may_pass(now: Any) -> None:
    assert refusal_of_plan(now, SHOWN) is NOT_REFUSED


@pytest.mark.parametrize(
    "now",
    [
        plan(deleted=[guest("web"), guest("db"), guest("new")]),
        plan(deleted=[guest("web"), guest("db"), guest("old")], kept=[]),
        plan(deleted=[guest("web", power_state="on"), guest("db")]),
        plan(deleted=[guest("web", volumes=[{"name": "data", "storage_pool": "big", "size": 1}]), guest("db")]),
        plan(lost=[guest("web")]),
        plan(kept=[guest("old"), guest("new")]),
        plan(certificates=[{"fingerprint": "cd", "removed": True, "explanation": ""}]),
        plan(effects=["Copies are deleted.", "Devices deleted (1): lxd-0."]),
    ],
)
def test_another_effect_has_to_be_read(now: Any) -> None:
    refusal = refusal_of_plan(now, SHOWN)
    assert (refusal.status, refusal.problems) == (409, {"": ["This changed since the page was shown: read it again."]})


def test_a_vm_of_unknown_power_is_shown_again_once_it_runs() -> None:
    shown = digests_of(plan(deleted=[guest("web", power_state="unknown")]))
    assert refusal_of_plan(plan(deleted=[guest("web", power_state="on")]), shown).status == 409
    assert refusal_of_plan(plan(deleted=[guest("web", power_state="unknown")]), SHOWN) is NOT_REFUSED


def test_records_are_compared_by_kind_and_id() -> None:
    record = {"kind": "subnet", "id": "1", "name": "lan"}
    shown = digests_of({"deleted": [record], "kept": [], "effects": []})
    assert refusal_of_plan({"deleted": [{**record, "name": "renamed"}]}, shown) is NOT_REFUSED
    assert refusal_of_plan({"deleted": [{**record, "id": "2"}]}, shown).status == 409
    assert refusal_of_plan({"deleted": [], "kept": [record]}, shown).status == 409


def test_compared_facts_replace_sentences_that_change_often() -> None:
    shown = digests_of({"effects": ["Compose (queued) is cancelled."], "compared": []})
    assert refusal_of_plan({"effects": ["Compose (running) is cancelled."], "compared": []}, shown) is NOT_REFUSED
    assert refusal_of_plan({"effects": [], "compared": ["reached"]}, shown).status == 409


def test_without_a_plan_that_was_shown_nothing_is_confirmed() -> None:
    assert refusal_of_plan(plan(), "").problems == {"": ["Read what this does, then confirm it."]}
    assert refusal_of_plan({"deleted": [], "effects": []}, "") is NOT_REFUSED
    assert digests_of(None) == ""


def test_more_than_a_plan_that_was_empty_has_changed() -> None:
    shown = digests_of({"deleted": [], "effects": []})
    assert "This changed" in refusal_of_plan(plan(), shown).problems[""][0]
