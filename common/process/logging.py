"""Configures logging: one JSON object per line, with context variables and without secrets.

The format of a line is described in docs/reference/logs.md.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Mapping, MutableMapping
from functools import cache
from typing import Any, TextIO, cast

import structlog
from twisted.logger import ILogObserver, STDLibLogObserver, globalLogBeginner

from common.process.refused_connections import RefusedConnections
from common.words.hidden_text import revealed

NO_FIELDS: Mapping[str, str] = {}
LEVELS = ("debug", "info", "warning", "error")
REDACTED = "[redacted]"

_SECRET_KEY = re.compile(
    r"secret|passw|passphrase|power_pass|key_pem|private_key|token|credential|api_?key", re.IGNORECASE
)
_SECRET_TEXT = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)
_MAX_DEPTH = 8
_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}  # of syslog


class NonFailingStream:
    """A stream that drops lines while it cannot be written (the disk is full), so that the caller continues.

    The next line that can be written is preceded by the number of lost lines.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lost = 0

    def write(self, text: str) -> int:
        try:
            if self._lost:
                lost = json.dumps({"event": "log_lines_lost", "level": "warning", "lines": self._lost})
                self._stream.write(f"\n{lost}\n")  # the last line before may be incomplete
                self._stream.flush()
                self._lost = 0
            self._stream.write(text)
            self._stream.flush()
        except OSError:
            self._lost += max(1, text.count("\n"))
        return len(text)

    def flush(self) -> None:
        """Does nothing: `write` flushes."""


class _Line:
    """Renders an event: first when, how grave and what, then who, then the facts.

    `prefixed` begins the line with its priority, as systemd reads it: `<4>` is a warning.
    """

    def __init__(self, process: Mapping[str, str], *, prefixed: bool) -> None:
        self._process = process
        self._prefixed = prefixed
        self._json = structlog.processors.JSONRenderer(ensure_ascii=False, default=str)

    def __call__(self, logger: Any, method: str, event: MutableMapping[str, Any]) -> str:
        level = event.get("level", "info")
        first = {"timestamp": event.pop("timestamp", None), "level": level, "event": event.pop("event", None)}
        text = revealed(str(self._json(logger, method, {**first, **self._process, **event})))
        return f"<{_PRIORITIES.get(level, 6)}>{text}" if self._prefixed else text


def configure_logging(
    *,
    level: str = "info",
    stream: TextIO | None = None,
    process: Mapping[str, str] = NO_FIELDS,
    environment: Mapping[str, str] = os.environ,
) -> None:
    """Sends structlog's events and the standard logging of libraries to `stream` (default: standard error).

    Libraries log from `warning` up unless the level is `debug`. Each line has the fields of `process`, unless its event
    has one of the same name. Another call changes all that. Raises ValueError for an unknown level.
    """
    if level not in LEVELS:
        raise ValueError(f"unknown log level {level!r}; use one of {', '.join(LEVELS)}")
    renderer = _Line(process, prefixed=_is_journal(stream or sys.stderr, environment))
    stream = cast(TextIO, NonFailingStream(stream or sys.stderr))
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        redact,
    ]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_add_library_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    libraries = logging.DEBUG if level == "debug" else logging.WARNING
    logging.basicConfig(handlers=[handler], level=libraries, force=True)
    logging.captureWarnings(True)
    _forward_twisted_log()


def _is_journal(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Returns whether systemd's journal reads the stream: then it also reads a line's priority."""
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError, AttributeError):
        return False
    return environment.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


@cache
def _forward_twisted_log() -> None:
    """Sends Twisted's log, including unhandled errors, to the standard logging module. Once per process."""
    observers: tuple[ILogObserver, ...] = (STDLibLogObserver("twisted"), RefusedConnections())
    globalLogBeginner.beginLoggingTo(observers, discardBuffer=True, redirectStandardIO=False)


def redact(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor that redacts values with secret keys, at any depth, and private keys in any text."""
    for key in list(event):
        event[key] = _redacted(key, event[key], 0)
    return event


def _redacted(key: str, value: Any, depth: int) -> Any:
    if _SECRET_KEY.search(key) and value is not None and not isinstance(value, bool | int | float):
        return REDACTED
    if isinstance(value, str):
        return _SECRET_TEXT.sub(REDACTED, value) if "PRIVATE KEY" in value else value
    if depth >= _MAX_DEPTH:
        return REDACTED
    if isinstance(value, Mapping):
        return {each: _redacted(str(each), inner, depth + 1) for each, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redacted("", inner, depth + 1) for inner in value]
    return value


def _add_library_name(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    record: logging.LogRecord = event["_record"]
    return {**event, "event": "library_logged", "library": record.name, "text": event["event"]}
