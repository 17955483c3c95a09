"""The example files of the how-to pages: each is shown whole in its page, and can be read."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

DOCS = Path(__file__).resolve().parents[3] / "docs"
A_DUMP = "import-from-maas"  # of a MAAS, to try the import with: no client's, and its page does not show it
EXAMPLES = sorted(
    path.relative_to(DOCS / "examples") for path in (DOCS / "examples").glob("*/*") if path.parent.name != A_DUMP
)
# The addresses in those of proxies are the names of their servers.
OF_PROXIES = [Path("drop-in-address/haproxy.cfg"), Path("drop-in-address/nginx.conf")]


def text(example: Path) -> str:
    return (DOCS / "examples" / example).read_text()


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_the_page_of_a_client_shows_its_example_whole(example: Path) -> None:
    page = (DOCS / "how-to" / f"{example.parent}.md").read_text()
    assert text(example) in page
    assert f"](../examples/{example})" in page


@pytest.mark.parametrize("example", [one for one in EXAMPLES if one.suffix in {".yaml", ".yml"}], ids=str)
def test_yaml_examples_can_be_read(example: Path) -> None:
    assert yaml.safe_load(text(example))


def test_a_region_has_the_address_of_the_examples() -> None:
    addressed = [example for example in EXAMPLES if "://" in text(example) and example not in OF_PROXIES]
    assert addressed
    assert [one for one in OF_PROXIES if "127.0.0.1:5240" not in text(one)] == []
    assert [one for one in addressed if "http://127.0.0.1:5240/MAAS" not in text(one)] == []
