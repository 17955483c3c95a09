"""What one region may do for each thing that users and hosts ask of it.

A change that lowers a number lowers its row. A row that rises says why, in a comment beside it.
"""

from __future__ import annotations

from collections.abc import Mapping

from tests.budgets.counting import Counts

COMPOSE = "compose on a simulated host, until its answer"
POWER_ON = "power on, until its answer"
REFRESH = "refresh of a host on which nothing has changed"
WITH_EVENTS = "compose, and what the host's events of it cause at once"
MACHINES = "page of 100 machines"
HOSTS = "list of 20 hosts"
OVERVIEW = "overview page, 20 hosts"
IDLE = "a minute without requests, 2 hosts"

# A region that notices its own changes beside a request does up to two statements more.
BUDGETS: Mapping[str, Counts] = {
    COMPOSE: Counts(statements=21, round_trips=25, transactions=2, conversions=13, answer_bytes=90),
    WITH_EVENTS: Counts(statements=26, round_trips=30, transactions=2, conversions=16),
    POWER_ON: Counts(statements=34, round_trips=38, transactions=2, conversions=28, answer_bytes=12_500),
    REFRESH: Counts(statements=36, round_trips=38, transactions=1, conversions=15),
    MACHINES: Counts(statements=6, round_trips=6, transactions=0, conversions=400, answer_bytes=550_000),
    HOSTS: Counts(statements=5, round_trips=5, transactions=0, conversions=40, answer_bytes=40_000),
    OVERVIEW: Counts(statements=18, round_trips=18, transactions=0, conversions=0, answer_bytes=17_500),
    IDLE: Counts(statements=285, round_trips=341, transactions=28, conversions=1),
}
