"""Log format, levels, redaction, and behaviour on a full disk."""

from __future__ import annotations

import io
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from twisted.logger import Logger
from twisted.python.failure import Failure

from common.process.logging import REDACTED, NonFailingStream, configure_logging
from common.trust.certificates import make_key


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """What is logged; the configuration of the process is restored."""
    before = structlog.get_config()
    handlers, level = logging.root.handlers[:], logging.root.level
    stream = io.StringIO()
    configure_logging(stream=stream)
    yield stream
    structlog.configure(**before)
    structlog.contextvars.clear_contextvars()
    logging.captureWarnings(False)
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_json_line_with_its_context(stream: io.StringIO) -> None:
    structlog.contextvars.bind_contextvars(operation=7)
    structlog.get_logger("x").info("guest_composed", guest="vm-ä", memory_mib=512)
    [line] = lines(stream)
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "guest_composed", "guest": "vm-ä", "memory_mib": 512, "level": "info", "operation": 7}


def test_a_line_begins_with_time_level_event_and_process(stream: io.StringIO) -> None:
    configure_logging(stream=stream, process={"program": "rackd", "rack": "north"})
    structlog.get_logger().info("first", aardvark=1)
    structlog.get_logger().info("second", rack="south")
    logging.getLogger("library").warning("third")
    first, second, third = lines(stream)
    assert list(first) == ["timestamp", "level", "event", "program", "rack", "aardvark"]
    assert second["rack"] == "south", "the event's own field goes first"
    assert (third["program"], third["rack"]) == ("rackd", "north")


def test_only_the_journal_gets_priorities(tmp_path: Path, stream: io.StringIO) -> None:
    with (tmp_path / "log").open("w") as file:
        found = os.fstat(file.fileno())
        journal = {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
        configure_logging(stream=file, environment=journal)
        structlog.get_logger().info("a")
        structlog.get_logger().error("b")
        logging.getLogger("library").warning("c")
        configure_logging(stream=file, environment={"JOURNAL_STREAM": "1:2"})
        structlog.get_logger().warning("d")
    begun = [line[:4] for line in (tmp_path / "log").read_text().splitlines()]
    assert begun == ["<6>{", "<3>{", "<4>{", '{"ti']


def test_a_line_is_written_at_once_with_its_end(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is killed between two writes would leave half a line, which the next process continues."""
    written: list[str] = []
    monkeypatch.setattr(stream, "write", written.append)
    structlog.get_logger().info("first")
    logging.getLogger("library").warning("second")
    assert [(text.count("\n"), text[-1:]) for text in written] == [(1, "\n")] * 2


def test_events_below_the_level_are_not_written(stream: io.StringIO) -> None:
    configure_logging(level="warning", stream=stream)
    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud")
    assert [line["event"] for line in lines(stream)] == ["loud"]


@pytest.mark.parametrize(
    "key",
    [
        "secret",
        "token_secret",
        "password",
        "power_pass",
        "key_pem",
        "ssh_private_key",
        "token",
        "credentials",
        "api_key",
        "Passwd",
    ],
)
def test_values_with_secret_keys_are_redacted_at_any_depth(stream: io.StringIO, key: str) -> None:
    structlog.get_logger().info("happened", **{key: "hunter2"}, nested={"list": [{key: {"deep": "hunter2"}}]})
    assert "hunter2" not in stream.getvalue()
    assert lines(stream)[0][key] == REDACTED


def test_a_private_key_in_any_text_is_redacted(stream: io.StringIO) -> None:
    pem = make_key()
    answer = [f"before {pem} after", pem[: len(pem) // 2]]
    structlog.get_logger().error("failed", answer=answer, exc_info=ValueError(f"cannot use {pem}"))
    [line] = lines(stream)
    assert "BEGIN PRIVATE KEY" not in stream.getvalue()
    assert line["answer"][0] == f"before {REDACTED}\n after"
    assert "ValueError" in line["exception"]


def test_numbers_with_secret_keys_are_not_redacted(stream: io.StringIO) -> None:
    structlog.get_logger().info("swept", tokens=3, password_changed=True)
    assert lines(stream)[0]["tokens"] == 3
    assert lines(stream)[0]["password_changed"] is True


def test_library_warnings_have_the_same_format(stream: io.StringIO) -> None:
    logging.getLogger("some.library").info("chatter")
    logging.getLogger("some.library").warning("cannot do %s", "that")
    [line] = lines(stream)
    assert (line["event"], line["library"], line["text"]) == ("library_logged", "some.library", "cannot do that")


def test_errors_that_twisted_caught_are_logged(stream: io.StringIO) -> None:
    Logger("twisted.thing").failure("Unhandled error", Failure(ValueError("an uncaught error")))
    [line] = lines(stream)
    assert (line["event"], line["library"], line["level"]) == ("library_logged", "twisted", "critical")
    assert "an uncaught error" in line["exception"]


def test_values_that_json_cannot_encode_are_written_as_text(stream: io.StringIO) -> None:
    structlog.get_logger().info("odd", thing=object, ring={"a": {"b"}})
    assert lines(stream)[0]["ring"] == {"a": ["b"]}


def test_an_unknown_level_is_rejected(stream: io.StringIO) -> None:
    with pytest.raises(ValueError, match="debug, info, warning, error"):
        configure_logging(level="loud", stream=stream)


def test_a_full_disk_loses_log_lines_and_their_number_is_logged_later(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("w") as free, Path("/dev/full").open("w") as full:
        stream = NonFailingStream(full)
        for _ in range(3):
            stream.write("{}\n")
        os.dup2(free.fileno(), full.fileno())  # from now on the disk has space
        stream.write('{"event": "back"}\n')
    *_, first, second = [json.loads(line) for line in log.read_text().splitlines() if line]
    assert (first["event"], first["lines"], second["event"]) == ("log_lines_lost", 3, "back")
