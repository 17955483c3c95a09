"""The REST API of LXD and Incus at the Unix socket of a daemon, where everything is allowed."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import requests


class _SocketConnection(HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("lxd", timeout=120)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def ask(at: Path, path: str, *, method: str = "GET", body: Mapping[str, Any] | None = None) -> Any:
    """Returns the metadata of the response; waits for background operations, and returns them as they ended."""
    return _ask(at, path, method, None if body is None else json.dumps(body).encode(), {})


def send_files(at: Path, path: str, files: Mapping[str, bytes]) -> Any:
    """Posts a form with the files, and returns the operation as it ended."""
    form = requests.Request("POST", "http://lxd", files={name: (name, content) for name, content in files.items()})
    prepared = form.prepare()
    assert isinstance(prepared.body, bytes)
    return _ask(at, path, "POST", prepared.body, dict(prepared.headers))


def _ask(at: Path, path: str, method: str, body: bytes | None, headers: Mapping[str, str]) -> Any:
    line = _SocketConnection(at)
    try:
        line.request(method, path, body=body, headers=headers)
        answer = json.loads(line.getresponse().read())
    finally:
        line.close()
    if answer["type"] == "error":
        raise AssertionError(f"{method} {path}: {answer['error']}")
    if answer["type"] == "async":
        operation = str(answer["operation"]).partition("?")[0]
        done = ask(at, f"{operation}/wait")
        assert done["status_code"] == 200, f"{method} {path}: {done['err']}"
        return done
    return answer["metadata"]
