"""Destinations of the audit trail, and the messages that they get."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime

import pytest
from attrs import evolve

from common.errors import BadSettings
from regiond.audit.export.model import MAX_DATAGRAM_BYTES, json_lines, parse_destination, syslog_message
from regiond.audit.model import RawEntry

ENTRY = RawEntry(
    id=7,
    at=datetime(2026, 11, 25, 14, 30, 0, 1234, tzinfo=UTC),
    content='{"action": "Machine.lock", "object_name": "wéb\\n"}',
    previous_hash=bytes(32),
    hash=b"\1" * 32,
)


@pytest.mark.parametrize(
    ("url", "host", "port", "path"),
    [
        ("syslog+tcp://logs.example.net", "logs.example.net", 601, ""),
        ("syslog+tls://logs.example.net", "logs.example.net", 6514, ""),
        ("syslog+udp://192.0.2.7", "192.0.2.7", 514, ""),
        ("syslog+tcp://[2001:db8::1]:1514", "2001:db8::1", 1514, ""),
        ("syslog+unix:///run/systemd/journal/dev-log", "", 0, "/run/systemd/journal/dev-log"),
        ("https://logs.example.net:8443/in?index=audit", "logs.example.net", 8443, "/in"),
    ],
)
def test_a_url_names_the_destination(url: str, host: str, port: int, path: str) -> None:
    found = parse_destination(url)
    assert (found.url, found.host, found.port, found.path) == (url, host, port, path)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "logs.example.net:601",
        "syslog://logs.example.net",
        "syslog+tcp://",
        "syslog+tcp://logs:port",
        "syslog+tcp://logs/path",
        "syslog+unix://run/log",
        "syslog+unix://",
        "https:///path",
        "https://logs/#part",
        "ftp://logs/",
    ],
)
def test_a_url_of_another_form_is_refused_with_examples(url: str) -> None:
    with pytest.raises(BadSettings, match=r"syslog\+tcp://logs\.example\.net:601"):
        parse_destination(url)


def test_a_secret_in_the_path_or_query_is_not_shown() -> None:
    found = parse_destination("https://logs.example.net/hook/hunter2?token=hunter2")
    other = parse_destination("https://logs.example.net/hook/other")
    assert found.name.startswith("https://logs.example.net/… (")
    assert "hunter2" not in found.name + repr(found)
    assert found.name != other.name, "each has a position of its own"
    assert parse_destination("syslog+tcp://logs:601").name == "syslog+tcp://logs:601"


def test_a_password_in_the_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(BadSettings, match="audit_export_header") as refused:
        parse_destination("https://robot:hunter2@logs.example.net/")
    assert "hunter2" not in str(refused.value)


def test_a_syslog_message_has_the_whole_entry_in_one_line() -> None:
    message = syslog_message(ENTRY, hostname="north")
    header, json_text = message.decode().split(" - audit - ")
    assert header == "<109>1 2026-11-25T14:30:00.001234Z north innkeeper"
    assert "\n" not in json_text
    assert json.loads(json_text) == json.loads(json_lines([ENTRY]))


def test_the_hash_of_a_sent_entry_can_be_verified() -> None:
    correct = evolve(ENTRY, hash=ENTRY.own_hash)
    sent = json.loads(json_lines([correct]))
    text = f"{sent['id']} {sent['at']} {sent['content']}".encode()
    assert hashlib.sha256(bytes.fromhex(sent["previous_hash"]) + text).hexdigest() == sent["hash"]


def test_a_message_too_long_for_a_datagram_lacks_its_content() -> None:
    long = evolve(ENTRY, content="x" * MAX_DATAGRAM_BYTES)
    message = syslog_message(long, hostname="north", max_bytes=MAX_DATAGRAM_BYTES)
    sent = json.loads(message.decode().split(" - audit - ")[1])
    assert (sent["id"], sent["content"], sent["hash"]) == (7, "", "01" * 32)
    assert len(syslog_message(long, hostname="north")) > MAX_DATAGRAM_BYTES
