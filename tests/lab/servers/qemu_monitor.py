"""Queries a running QEMU."""

from __future__ import annotations

import json
import socket
from pathlib import Path


def ask_qemu(monitor: Path, command: str) -> str:
    """Returns the output of a human monitor command, sent over QMP."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(30)
        line.connect(str(monitor))
        with line.makefile("rwb") as talk:
            talk.readline()  # the greeting
            for request in (
                {"execute": "qmp_capabilities"},
                {"execute": "human-monitor-command", "arguments": {"command-line": command}},
            ):
                talk.write(json.dumps(request).encode() + b"\n")
                talk.flush()
                answer = json.loads(talk.readline())
                while "event" in answer:
                    answer = json.loads(talk.readline())
    assert "error" not in answer, answer
    return str(answer["return"])
