"""What a run leaves in the database: the shape of each kind's `operation.request`, and the texts of events."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

from common.words.operation_kinds import OperationKind
from tests.golden.normalised import normalised
from tests.golden.recorded_run import Recorded
from tests.golden.shapes import merged_shape

_REPLACED = (
    (re.compile(r"(?<![\w-])(sim-[ab]|temporary-\d+|lxd-\d+)\b"), "a-host"),  # chance decides between some
    (re.compile(r"(?<=[a-z]-)\d+\b|(?<=watched)\d+\b"), "N"),
    (re.compile(r"\b(operation|kept as disk) \d+"), r"\1 N"),
    (re.compile(r"(?<=does not answer )\([a-z ]+\)"), "(a call)"),  # whichever came first
)


def request_shapes(run: Recorded) -> dict[str, Any]:
    """Returns keys and types of the requests of each kind. Raises AssertionError for one that no scenario starts."""
    found = defaultdict(list)
    for kind, request in run.requests:
        found[kind].append(request)
    missing = {kind.value for kind in OperationKind} - {*found}
    assert not missing, f"no scenario starts {', '.join(sorted(missing))}"
    return {kind: merged_shape(requests) for kind, requests in found.items()}


def event_texts(run: Recorded) -> dict[str, list[str]]:
    """Returns the messages of each kind of event and level, without what is new in each run."""
    chosen = [name for name in run.hostnames if not any(letter.isdigit() for letter in name)]
    random = re.compile("|".join(rf"\b{re.escape(name)}\b" for name in sorted(chosen)) or "(?!)")
    found: defaultdict[str, set[str]] = defaultdict(set)
    for kind, level, message in run.events:
        text = normalised(random.sub("a-name", message))
        for pattern, replacement in _REPLACED:
            text = pattern.sub(replacement, text)
        found[f"{kind}, {level}"].add(text)
    return {kind: sorted(texts) for kind, texts in found.items()}
