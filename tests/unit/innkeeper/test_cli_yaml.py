"""YAML output, as another program reads it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from innkeeper.arguments import Usage, split_options
from innkeeper.output.yaml_text import yaml_text

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)


def test_objects_are_blocks() -> None:
    plain = [{"name": "hv-01", "tags": ["a", "no"], "zone": {"id": 1}, "pool": {}, "error": None, "key": "1"}]
    assert yaml_text(plain) == (
        '- name: hv-01\n  tags:\n  - a\n  - "no"\n  zone:\n    id: 1\n  pool: {}\n  error: null\n  key: "1"'
    )


@given(JSON)
def test_any_json_is_read_as_it_was(plain: Any) -> None:
    assert yaml.safe_load(yaml_text(plain)) == plain


@pytest.mark.parametrize(
    ("text", "table", "as_yaml"), [("json", False, False), ("table", True, False), ("yaml", False, True)]
)
def test_the_format_is_an_option(text: str, table: bool, as_yaml: bool) -> None:
    for words in (["--format", text], [f"--format={text}"]):
        _, options = split_options(["vm-hosts", "read", *words])
        assert (options.table, options.yaml) == (table, as_yaml)


def test_an_unknown_format_is_a_usage_error() -> None:
    with pytest.raises(Usage, match="json, table or yaml, not 'xml'"):
        split_options(["vm-hosts", "read", "--format", "xml"])
