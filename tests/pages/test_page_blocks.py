"""The convention of the pages' commands: every block of commands runs in a test, or names why it does not."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

import pytest

from tests.pages.blocks import CHECKOUT, GUIDES, MACHINES, NEEDS, PAGES, SKIPS, blocks_of, missing_lines

COMMANDS = ("innkeeper", ".venv/", "./dev", "virsh", "git", "apt-get", "runuser", "curl", "rackd", "regiond", "kill")

IMPORTED = "docs/examples/import-from-maas/maas.sql"
OF_TABLE = {
    "zone": "zones",
    "resourcepool": "resource-pools",
    "space": "spaces",
    "fabric": "fabrics",
    "bmc": "vm-hosts",
}
AGAIN = "boot-resources"  # an image is uploaded again, as its next version


def created(page: str) -> Iterator[tuple[str, str]]:
    """Yields kinds and names of what the page's commands create in the region that all pages share."""
    for block in blocks_of(page):
        if block.marked("skip") is None and block.runs_on_the_tests_machine:
            for line in block.text.replace("\\\n", " ").splitlines():
                if found := re.match(r"innkeeper (\S+) create\b.*?\bname=(\S+)", line):
                    yield found[1], found[2]


def imported() -> Iterator[tuple[str, str]]:
    """Yields the same of what the sample of a MAAS database brings into that region."""
    text = (CHECKOUT / IMPORTED).read_text()
    tables = re.findall(r"COPY public\.maasserver_(\w+) \((.*?)\) FROM stdin;\n(.*?)\\\.", text, re.DOTALL)
    for table, columns, rows in tables:
        if table in OF_TABLE:
            at = columns.split(", ").index("name")
            for row in rows.splitlines():
                yield OF_TABLE[table], row.split("\t")[at]


def test_no_two_pages_create_objects_of_one_name() -> None:
    places: dict[tuple[str, str], set[str]] = defaultdict(set)
    for page in PAGES:
        for one in created(page):
            places[one].add(page)
    for one in imported():
        places[one].add(IMPORTED)
    assert {one: found for one, found in places.items() if len(found) > 1 and one[0] != AGAIN} == {}


def test_every_guide_is_in_the_order_of_the_test() -> None:
    guides = {str(path.relative_to(CHECKOUT)) for path in CHECKOUT.glob("docs/*/*.md")}
    ours = {name for name in guides if name.split("/")[1] in ("tutorial", "how-to")}
    assert ours <= set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_commands_are_marked_as_such(page: str) -> None:
    unmarked = [one.place for one in blocks_of(page) if not one.language and one.text.startswith(COMMANDS)]
    assert unmarked == [], "mark commands with ```sh, or ```sh skip=REASON"


@pytest.mark.parametrize("page", PAGES)
def test_a_block_that_is_not_run_names_a_known_reason(page: str) -> None:
    known = {"skip": SKIPS, "needs": NEEDS, "on": MACHINES}
    marked = [one for one in blocks_of(page) if one.mark is not None and one.language == "sh"]
    assert [one.place for one in marked if one.mark and one.mark[1] not in known.get(one.mark[0], ())] == []


def test_every_guide_for_a_new_machine_runs_on_one() -> None:
    assert {page for page in PAGES if any(one.marked("on") == "fresh" for one in blocks_of(page))} == set(GUIDES)


@pytest.mark.parametrize("page", PAGES)
def test_settings_that_a_test_writes_name_their_file(page: str) -> None:
    marked = [one for one in blocks_of(page) if one.mark is not None and one.language != "sh"]
    assert [one.place for one in marked if not (one.marked("file") or "").startswith("/etc/innkeeper/")] == []


@pytest.mark.parametrize("page", PAGES)
def test_commands_that_run_have_no_placeholder(page: str) -> None:
    words = {"SYSTEM_ID", "OPERATION_ID", "NAME", "HOST", "PROFILE", "ADDRESS", "URL"}
    run = [one for one in blocks_of(page) if one.language == "sh" and one.marked("skip") is None]
    assert [one.place for one in run if words & set(one.text.replace("=", " ").split())] == []


@pytest.mark.parametrize(
    ("shown", "missing"),
    [
        ("name  cores\nweb-1     2\n", []),
        ("name  cores\ndb-1      7\n", []),
        ("name  memory\n", ["name  memory"]),
        ("web-1  2\nname  cores\n", ["name  cores"]),
        ("name …\n", []),
    ],
)
def test_shown_output_has_the_shape_of_the_printed(shown: str, missing: list[str]) -> None:
    assert missing_lines(shown, "name   cores\nweb-17     4\n") == missing
