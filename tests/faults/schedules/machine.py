"""The state machine: people, accidents, mends and other administrators, in any order that Hypothesis finds."""

from __future__ import annotations

from tests.faults.schedules.mending import Mending
from tests.faults.schedules.people import People


class Schedules(People, Mending):
    """One example is an installation from its first host to the moment when everything is at rest again."""
