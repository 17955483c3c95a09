"""Settings from defaults, file and environment, and the errors for invalid ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import frozen

from common.errors import BadSettings
from common.process.settings import described, load, setting


@frozen(kw_only=True)
class Sample:
    http_port: int = setting(5240, "The port.", at_least=1, at_most=65535)
    refresh_every_s: float = setting(60.0, "The interval.", at_least=0.5)
    log_level: str = setting("info", "The level.", choices=("debug", "info"))
    state: Path | None = setting(None, "The state folder.")
    database: str | None = setting(None, "The DSN.", secret=True)
    max_calls: bool = setting(False, "A flag.")


def written(folder: Path, text: str) -> Path:
    file = folder / "sample.toml"
    file.write_text(text)
    return file


def test_without_file_and_environment_the_defaults_apply() -> None:
    assert load(Sample, file=None, environment={"HOME": "/root"}) == Sample()


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    file = written(tmp_path, 'http_port = 1000\nlog_level = "debug"\nstate = "/var/x"\nrefresh_every_s = 3\n')
    loaded = load(Sample, file=file, environment={"INNKEEPER_HTTP_PORT": "2000"})
    assert loaded == Sample(http_port=2000, log_level="debug", state=Path("/var/x"), refresh_every_s=3.0)


@pytest.mark.parametrize(("text", "flag"), [("true", True), ("ON", True), ("1", True), ("no", False), ("0", False)])
def test_a_flag_in_the_environment_is_a_word(text: str, *, flag: bool) -> None:
    assert load(Sample, file=None, environment={"INNKEEPER_MAX_CALLS": text}).max_calls is flag


def test_an_empty_variable_unsets_an_optional_key(tmp_path: Path) -> None:
    file = written(tmp_path, 'state = "/var/x"\n')
    assert load(Sample, file=file, environment={"INNKEEPER_STATE": ""}).state is None


def test_keys_of_other_programs_are_accepted_in_the_environment() -> None:
    assert load(Sample, file=None, environment={"INNKEEPER_RPC_PORT": "5250"}) == Sample()


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("INNKEEPER_HTTP_PORT", "eighty", "INNKEEPER_HTTP_PORT must be a whole number, not 'eighty'"),
        ("INNKEEPER_HTTP_PORT", "", "must be a whole number"),
        ("INNKEEPER_HTTP_PORT", "80.5", "must be a whole number"),
        ("INNKEEPER_HTTP_PORT", "0", "must be between 1 and 65535, not '0'"),
        ("INNKEEPER_REFRESH_EVERY_S", "0.1", "must be at least 0.5"),
        ("INNKEEPER_REFRESH_EVERY_S", "nan", "must be a number"),
        ("INNKEEPER_REFRESH_EVERY_S", "inf", "must be a number"),
        ("INNKEEPER_LOG_LEVEL", "loud", "must be one of debug, info, not 'loud'"),
        ("INNKEEPER_MAX_CALLS", "maybe", "must be true or false"),
        ("INNKEEPER_HTPP_PORT", "80", "unknown variable INNKEEPER_HTPP_PORT; known here are INNKEEPER_DATABASE"),
        ("INNKEEPER_http_port", "80", "unknown variable INNKEEPER_http_port"),
    ],
)
def test_an_invalid_variable_is_named_with_the_valid_values(variable: str, value: str, reason: str) -> None:
    with pytest.raises(BadSettings, match=reason) as rejected:
        load(Sample, file=None, environment={variable: value})
    assert "environment" in str(rejected.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("htpp_port = 1", "unknown key 'htpp_port'; known are database, http_port"),
        ('http_port = "many"', "http_port must be a whole number, not 'many'"),
        ("http_port = 1.5", "must be a whole number"),
        ("http_port = true", "must be a whole number"),
        ("max_calls = 1", "must be true or false"),
        ("state = 1", "state must be a path"),
        ("log_level = []", "log_level must be text"),
        ("http_port = ", "is not TOML"),
        ("[http]\nport = 1", "unknown key 'http'"),
    ],
)
def test_an_invalid_file_is_named_with_the_key(tmp_path: Path, text: str, reason: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(BadSettings, match=reason) as rejected:
        load(Sample, file=file, environment={})
    assert str(file) in str(rejected.value)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="Cannot read"):
        load(Sample, file=tmp_path / "none.toml", environment={})


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    file = written(tmp_path, "colour = 1\nhttp_port = 0")
    with pytest.raises(BadSettings) as rejected:
        load(Sample, file=file, environment={"INNKEEPER_LOG_LEVEL": "loud"})
    assert all(word in str(rejected.value) for word in ("colour", "http_port", "INNKEEPER_LOG_LEVEL"))


def test_a_secret_is_in_no_error_and_no_repr(tmp_path: Path) -> None:
    assert "hunter2" not in repr(load(Sample, file=None, environment={"INNKEEPER_DATABASE": "hunter2"}))
    with pytest.raises(BadSettings) as rejected:
        load(Sample, file=written(tmp_path, 'database = ["hunter2"]'), environment={})
    assert "hunter2" not in str(rejected.value)


def test_every_key_has_a_description() -> None:
    assert described(Sample)["http_port"] == "The port."
    assert all(described(Sample).values())


@frozen(kw_only=True)
class WithList:
    trusted_proxies: tuple[str, ...] = setting(("127.0.0.1",), "Proxies.")


def test_a_list_is_an_array_or_texts_with_commas(tmp_path: Path) -> None:
    file = written(tmp_path, 'trusted_proxies = ["a", "b"]\n')
    assert load(WithList, file=file, environment={}) == WithList(trusted_proxies=("a", "b"))
    for text, items in (("a, b", ("a", "b")), ("", ()), ("a,", ("a",))):
        given = {"INNKEEPER_TRUSTED_PROXIES": text}
        assert load(WithList, file=None, environment=given) == WithList(trusted_proxies=items)


@pytest.mark.parametrize("value", ["1", '[1, "a"]', "true"])
def test_other_values_are_no_list(tmp_path: Path, value: str) -> None:
    with pytest.raises(BadSettings, match="trusted_proxies must be a list of texts"):
        load(WithList, file=written(tmp_path, f"trusted_proxies = {value}\n"), environment={})
