"""The page of metrics has the table that the instruments say, with names by the conventions of Prometheus."""

from __future__ import annotations

import re

from development.generated.metrics_table import SECTION, tables


def rows() -> list[tuple[str, str, str]]:
    found = re.findall(r"^\| `(.+?)` \| (\w+) \| (.+) \|$", tables(), flags=re.MULTILINE)
    return [(name, kind, text) for name, kind, text in found]


def test_the_metrics_page_holds_the_current_table() -> None:
    page = SECTION.page.read_text(encoding="utf-8")
    assert page == SECTION.placed_in(page, SECTION.generate()), (
        "run: python -m development.generated.metrics_table --write"
    )


def test_the_table_has_every_kind_of_instrument() -> None:
    found = {(name, kind) for name, kind, _ in rows()}
    assert found >= {
        ("innkeeper_build_info", "info"), ("innkeeper_rpc_calls_total", "counter"),
        ("innkeeper_event_loop_lag_seconds", "histogram"), ("innkeeper_database_connections", "gauge"),
        ("innkeeper_zone_used_cores", "gauge"), ("innkeeper_driver_calls_waiting", "gauge"),
    }  # fmt: skip


def test_names_and_texts_follow_the_conventions() -> None:
    for name, kind, text in rows():
        assert re.fullmatch(r"(innkeeper|process)_[a-z]+(_[a-z]+)*", name), name
        assert name.endswith("_total") == (kind == "counter"), name
        assert kind != "histogram" or name.endswith("_seconds"), f"{name}: base units"
        assert not re.search(r"_(ms|mib|gib|kib|days|percent)\b", name), f"{name}: base units"
        assert text.endswith("."), text
