"""Rejected hosts in groups, each with what would help, and the refusal of a host that was chosen."""

from __future__ import annotations

from typing import Any

import pytest

from regiond.placement.checks import Check
from regiond.ui.views.placement_view import refusal_of_host, rejections


def rejected(**hosts: tuple[str, str]) -> dict[str, Any]:
    """A placement that rejected the hosts for a check, with a reason."""
    found = [
        {"host": host, "host_id": number, "reasons": [reason], "checks": [check]}
        for number, (host, (check, reason)) in enumerate(hosts.items())
    ]
    return {"rejected": found, "summarized": []}


def test_hosts_are_grouped_by_the_check_that_they_failed_first() -> None:
    placement = rejected(
        oak=("cores", "needs 4 cores, 1 free (4 cores × ratio 1.0)"),
        elm=("maintenance", "is in maintenance since 10:00 by ann: disks, both"),
        ash=("cores", "needs 4 cores, 3 free (8 cores × ratio 1.0)"),
        fir=("maintenance", "is in maintenance since 11:00 by bob"),
        yew=("maintenance", "is in maintenance since 12:00 by bob"),
    )
    groups = [(group.heading, group.count, [host.name for host in group.hosts]) for group in rejections(placement)]
    assert groups == [
        ("Closed for placement", 3, ["elm", "fir", "yew"]),
        ("Not enough free cores", 2, ["oak", "ash"]),
    ]
    assert all(group.remedy for group in rejections(placement))


def test_hosts_that_were_not_asked_for_are_the_last_group() -> None:
    unasked = {name: ("host", "excluded by your host filter") for name in ("birch", "cedar")}
    groups = rejections(rejected(**unasked, alder=("cores", "needs 4 cores, 1 free")))
    assert [group.heading for group in groups] == ["Not enough free cores", "Not among the hosts that you chose"]


def test_hosts_that_are_only_counted_join_their_group() -> None:
    placement = rejected(oak=("cores", "needs 4 cores, 1 free"))
    placement["summarized"] = [{"hosts": 40, "reason": "not enough free cores", "check": "cores"}]
    (group,) = rejections(placement)
    assert (group.count, len(group.hosts)) == (41, 1)


def test_what_an_older_release_stored_is_one_group() -> None:
    placement = {
        "rejected": [{"host": "oak", "reasons": ["needs 4 cores, 1 free"]}],
        "summarized": [{"hosts": 3, "reason": "not enough free cores"}],
    }
    (group,) = rejections(placement)
    assert (group.heading, group.count) == ("Other reasons", 4)


@pytest.mark.parametrize("check", Check)
def test_every_check_has_a_heading(check: Check) -> None:
    (group,) = rejections(rejected(oak=(check.value, "it does not fit")))
    assert group.heading != "Other reasons"


def test_a_chosen_host_is_refused_by_name_with_what_helps() -> None:
    placement = rejected(elm=("maintenance", "is in maintenance since 10:00"), oak=("host", "excluded"))
    assert refusal_of_host(placement, "elm") == (
        "elm cannot take it: is in maintenance since 10:00. Open the host again in its settings when its maintenance "
        "has ended. Or choose another host."
    )
    assert refusal_of_host(placement, "ash") is None
