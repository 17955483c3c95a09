"""Passwords on command lines: read from standard input in place of `password=-`."""

from __future__ import annotations

from io import StringIO

import pytest

from common.errors import InvalidRequest
from innkeeper.commands.password_prompt import with_passwords
from innkeeper.output.terminal import Terminal


def piped(text: str) -> Terminal:
    return Terminal(out=StringIO(), err=StringIO(), stdin=StringIO(text))


def test_each_password_is_one_line_of_standard_input() -> None:
    words = ["account", "change-password", "current_password=-", "password=-"]
    assert with_passwords(words, piped("old one\r\n new=one\n")) == [
        "account", "change-password", "current_password=old one", "password= new=one",
    ]  # fmt: skip


def test_other_words_are_not_changed() -> None:
    words = ["lab", "users", "create", "username=ann", "password@=file", "name=-", "-"]
    assert with_passwords(words, piped("secret\n")) == words


@pytest.mark.parametrize("given", ["", "\n"])
def test_an_empty_password_is_rejected(given: str) -> None:
    with pytest.raises(InvalidRequest, match="password: standard input has no line"):
        with_passwords(["users", "create", "password=-"], piped(given))
