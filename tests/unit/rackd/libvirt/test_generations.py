"""What hosts may have in the place of a generation, which an administrator can write, too."""

from __future__ import annotations

from uuid import UUID
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.guest_facts import MAX_GENERATION
from common.values import OwnershipMarker
from rackd.drivers.generation import is_higher, parsed_generation
from rackd.drivers.libvirt.definitions.domain_config import domain_config
from rackd.drivers.libvirt.definitions.metadata import MARKER_NAMESPACE, marker_in, raised_generation, set_booted_once
from rackd.drivers.lxd.inventory.guests import guest_of
from rackd.drivers.lxd.inventory.ownership import COMPLETED_KEY, GENERATION_KEY
from rackd.drivers.lxd.inventory.volume_index import VolumeIndex
from tests.unit.rackd.lxd.test_lxd_guests import MARKER_CONFIG, instance

MARKER = OwnershipMarker(installation_id=UUID(int=1), machine_id=UUID(int=2))
TEXTS = pytest.mark.parametrize(
    ("text", "generation"),
    [
        ("0", 0),
        ("17", 17),
        ("007", 7),
        (str(MAX_GENERATION), MAX_GENERATION),
        (str(MAX_GENERATION + 1), None),
        ("9" * 5000, None),
        ("", None),
        ("-1", None),
        ("+1", None),
        ("1.5", None),
        ("1 ", None),
        ("1_000", None),
        ("٣", None),
        ("²", None),
        ("third", None),
    ],
)


def domain(text: str | None) -> ET.Element:
    attributes = {"installation": str(MARKER.installation_id), "machine": str(MARKER.machine_id)}
    tree = ET.Element("domain")
    marker = ET.SubElement(ET.SubElement(tree, "metadata"), f"{{{MARKER_NAMESPACE}}}marker", attributes)
    if text is not None:
        marker.set("generation", text)
    return tree


@TEXTS
def test_only_a_plain_number_is_a_generation(text: str, generation: int | None) -> None:
    config = {**MARKER_CONFIG, GENERATION_KEY: text}
    guest, problems = guest_of(instance(config=config), VolumeIndex())
    assert (guest.generation, problems) == (generation, ())
    assert domain_config(domain(text)).generation == generation


@given(st.none() | st.text() | st.integers().map(str))
def test_no_text_makes_a_generation_unreadable(text: str | None) -> None:
    found = parsed_generation(text)
    assert found is None or 0 <= found <= MAX_GENERATION


@given(st.integers(0, 9), st.none() | st.integers(0, 9))
def test_a_generation_is_written_if_it_is_higher(generation: int, present: int | None) -> None:
    assert is_higher(generation, present) is (present is None or generation > present)


def test_an_instance_without_our_marker_has_no_generation() -> None:
    config = {**MARKER_CONFIG, COMPLETED_KEY: "the id of its source", GENERATION_KEY: "5"}
    guest, _ = guest_of(instance(config=config), VolumeIndex())
    assert (guest.marker, guest.generation) == (None, None)


@pytest.mark.parametrize("text", [None, "odd", "3"])
def test_a_raised_generation_keeps_what_the_marker_records(text: str | None) -> None:
    tree = domain(text)
    set_booted_once(tree, "op-1")
    raised = raised_generation(tree, 4)
    assert raised is not None
    written = ET.fromstring(raised)  # noqa: S314  # ours
    assert written.attrib == {
        "installation": str(MARKER.installation_id), "machine": str(MARKER.machine_id), "generation": "4",
    }  # fmt: skip
    assert [(one.tag, one.attrib) for one in written] == [("booted-once", {"key": "op-1"})]
    assert marker_in(tree) == MARKER


@pytest.mark.parametrize("text", ["4", "5", "17"])
def test_a_domain_with_this_generation_or_a_higher_one_is_not_changed(text: str) -> None:
    assert raised_generation(domain(text), 4) is None
    assert raised_generation(ET.Element("domain"), 4) is None
