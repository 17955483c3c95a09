"""Asking a running QEMU itself."""

from __future__ import annotations

import json
import socket
from pathlib import Path


def ask_qemu(monitor: Path, command: str) -> str:
    """What the monitor for people answers to `command`, asked through the one for programs."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(30)
        line.connect(str(monitor))
        with line.makefile("rwb") as talk:
            talk.readline()  # who it is
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
