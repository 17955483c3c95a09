"""The container images begin with a base that nobody can exchange."""

from __future__ import annotations

import re
from pathlib import Path

FILE = Path(__file__).resolve().parents[3] / "Containerfile"


def test_each_base_is_named_by_its_digest() -> None:
    text = FILE.read_text()
    named = {*re.findall(r"^ARG BASE=(\S+)$", text, re.MULTILINE), *re.findall(r"--build-arg BASE=(\S+)", text)}
    assert len(named) == 2
    assert all(re.fullmatch(r"docker\.io/library/debian@sha256:[0-9a-f]{64}", one) for one in named)
    stages = re.findall(r"^FROM (\S+) AS (\S+)$", text, re.MULTILINE)
    assert {base for base, _ in stages} == {"${BASE}", "common"}
