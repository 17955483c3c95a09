"""The alert rules and the dashboard are complete; test_prometheus asks a Prometheus for their queries."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).resolve().parents[3] / "monitoring"
WIDTH = 24  # of a dashboard


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((FOLDER / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))["panels"]
    return found


def test_every_rule_says_how_bad_it_is_and_what_to_do() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names)) > 20
    for rule in rules():
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}, rule["alert"]
        assert rule["for"], rule["alert"]
        assert rule["annotations"].keys() == {"summary", "description"}, rule["alert"]


def test_every_rule_has_a_test_in_which_it_fires() -> None:
    tests = (FOLDER / "alerts_test.yml").read_text(encoding="utf-8")
    assert [rule["alert"] for rule in rules() if f'alertname="{rule["alert"]}"' not in tests] == []


def test_the_panels_of_the_dashboard_do_not_overlap() -> None:
    ids = [panel["id"] for panel in panels()]
    assert len(ids) == len(set(ids)) > 40
    cells: set[tuple[int, int]] = set()
    for panel in panels():
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= WIDTH, panel["title"]
        own = set(itertools.product(range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"])))
        assert not own & cells, panel["title"]
        cells |= own


def test_panels_of_vms_show_those_that_are_chosen() -> None:
    dashboard = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))
    chosen = {one["name"]: one["allValue"] for one in dashboard["templating"]["list"][1:]}
    assert chosen == {"host_id": ".*", "guest": ".*"}
    queries = [target["expr"] for panel in panels() for target in panel.get("targets", ())]
    of_guests = [query for query in queries if "innkeeper_guest_" in query]
    assert len(of_guests) == 6
    for query in of_guests:
        assert query.count('{host_id=~"$host_id",guest=~"$guest"}') == query.count("innkeeper_guest_"), query
        assert query.startswith("topk(20, "), query


def test_every_panel_reads_the_data_source_that_the_user_chooses() -> None:
    dashboard = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))
    variable, *others = dashboard["templating"]["list"]
    assert (variable["name"], variable["type"], variable["query"]) == ("datasource", "datasource", "prometheus")
    assert [one["datasource"]["uid"] for one in others] == ["${datasource}"] * 2
    for panel in panels():
        if panel["type"] == "row":
            continue
        assert panel["targets"], panel["title"]
        for target in panel["targets"]:
            assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            assert target["legendFormat"], panel["title"]
        references = [target["refId"] for target in panel["targets"]]
        assert len(references) == len(set(references)), panel["title"]
