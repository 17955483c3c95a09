"""The names of the steps of tasks on pages."""

from __future__ import annotations

from collections.abc import Mapping

from common.words.operation_kinds import KIND_WORDS
from regiond.operations.model import WAIT_FOR_COMMAND, WAIT_FOR_EARLIER
from regiond.ui.texts import constant, text

STEP_WORDS: Mapping[str, str] = {
    **{name: words for kind in KIND_WORDS.values() for name, words in kind.steps.items()},
    WAIT_FOR_COMMAND: constant("wait for command"),
    WAIT_FOR_EARLIER: constant("wait for earlier"),
}


def step_words(name: str) -> str:
    """Returns the name of a step in the reader's language; that of a step of another release as the API has it."""
    return text(STEP_WORDS.get(name, name.replace("_", " ")))
