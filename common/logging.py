"""Logs: one JSON object per line on standard error, with the context of the operation, and without secrets."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from functools import cache
from typing import Any, TextIO, cast

import structlog
from twisted.logger import STDLibLogObserver, globalLogBeginner

LEVELS = ("debug", "info", "warning", "error")
REDACTED = "[redacted]"

_SECRET_KEY = re.compile(
    r"secret|passw|passphrase|power_pass|key_pem|private_key|token|credential|api_?key", re.IGNORECASE
)
_SECRET_TEXT = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)
_MAX_DEPTH = 8


class Unfailing:
    """A stream whose lines are lost while nothing can be written (its disk is full): whoever tells of something goes on
    with its work. The next line that can be written says how many were lost."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lost = 0

    def write(self, text: str) -> int:
        try:
            if self._lost:
                told = json.dumps({"event": "log_lines_lost", "level": "warning", "lines": self._lost})
                self._stream.write(f"\n{told}\n")  # what was written last may have no end
                self._stream.flush()
                self._lost = 0
            self._stream.write(text)
            self._stream.flush()
        except OSError:
            self._lost += max(1, text.count("\n"))
        return len(text)

    def flush(self) -> None:
        """Nothing is left to be flushed: `write` does."""


def configure_logging(*, level: str = "info", stream: TextIO | None = None) -> None:
    """Send structlog's events, and what libraries log with the standard module, to `stream` (standard error).

    Libraries are heard from `warning` up unless the level is `debug`. Raises ValueError for a level that is none.
    """
    if level not in LEVELS:
        raise ValueError(f"{level!r} is no log level; there are {', '.join(LEVELS)}")
    stream = cast(TextIO, Unfailing(stream or sys.stderr))
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        redact,
    ]
    renderer = structlog.processors.JSONRenderer(ensure_ascii=False, default=str)
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_name_the_library, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    libraries = logging.DEBUG if level == "debug" else logging.WARNING
    logging.basicConfig(handlers=[handler], level=libraries, force=True)
    logging.captureWarnings(True)
    _hear_twisted()


@cache
def _hear_twisted() -> None:
    """Once in a process: what Twisted reports, errors nobody caught among it, goes the way of every library's logs."""
    globalLogBeginner.beginLoggingTo([STDLibLogObserver("twisted")], discardBuffer=True, redirectStandardIO=False)


def redact(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: blanks values whose key names a secret, at any depth, and private keys in any text."""
    for key in list(event):
        event[key] = _blanked(key, event[key], 0)
    return event


def _blanked(key: str, value: Any, depth: int) -> Any:
    if _SECRET_KEY.search(key) and value is not None and not isinstance(value, bool | int | float):
        return REDACTED
    if isinstance(value, str):
        return _SECRET_TEXT.sub(REDACTED, value) if "PRIVATE KEY" in value else value
    if depth >= _MAX_DEPTH:
        return REDACTED
    if isinstance(value, Mapping):
        return {each: _blanked(str(each), inner, depth + 1) for each, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_blanked("", inner, depth + 1) for inner in value]
    return value


def _name_the_library(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    record: logging.LogRecord = event["_record"]
    return {**event, "event": "library_logged", "library": record.name, "text": event["event"]}
