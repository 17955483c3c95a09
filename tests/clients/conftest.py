"""Regions whose answers to clients wait for the operation, however busy the machine is."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def patient_answers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.path.name != "test_ansible.py":  # it polls
        be_patient(monkeypatch)


def be_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most of these clients do not say how long they wait, and use the result at once.

    The limits themselves are checked by tests/integration/operations/test_quick_answers.py.
    """
    for name in ("QUICK_ANSWER_S", "ACTION_ANSWER_S"):
        monkeypatch.setattr(f"regiond.api.declaration.operation_wait.{name}", 55.0)
