"""The form that reserves one address shows each problem of the range that it makes."""

from __future__ import annotations

import pytest

from regiond.ui.forms.refusal import Refusal
from regiond.ui.networks.network_pages import at_one_field


@pytest.mark.parametrize(
    ("problems", "shown"),
    [
        ({"end_ip": ["No."]}, {"start_ip": ["No."]}),
        ({"start_ip": ["No."], "end_ip": ["No."]}, {"start_ip": ["No."]}),
        ({"start_ip": ["Taken."], "end_ip": ["Outside."]}, {"start_ip": ["Taken.", "Outside."]}),
        ({"": ["The database is away."]}, {"": ["The database is away."]}),
        ({"comment": ["Too long."]}, {"comment": ["Too long."]}),
    ],
)
def test_no_problem_of_a_reserved_address_is_lost(problems: dict[str, list[str]], shown: dict[str, list[str]]) -> None:
    assert at_one_field(Refusal(status=422, problems=problems)) == Refusal(status=422, problems=shown)
