"""What others wrote in a definition stays as it is, byte for byte, when the definition is written again."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import DriverFailed
from common.guests.sizes import GuestSize
from rackd.drivers.libvirt.definitions.metadata import MARKER_NAMESPACE, generation_in, marker_in
from rackd.drivers.libvirt.definitions.size_xml import set_size
from rackd.drivers.libvirt.kept_xml import parse_definition, restored

MARKER = (
    f'<innkeeper:marker xmlns:innkeeper="{MARKER_NAMESPACE}" generation="3" '
    'installation="00000000-0000-4000-8000-00000000000a" machine="be92b969-8fab-405d-a684-c53778925c45">'
    '<innkeeper:maximum cores="4"/></innkeeper:marker>'
)
OSINFO = (
    '<libosinfo:libosinfo xmlns:libosinfo="http://libosinfo.org/xmlns/libvirt/domain/1.0">\n'
    '      <libosinfo:os id="http://debian.org/debian/12"/>\n    </libosinfo:libosinfo>'
)
OTHERS = [
    OSINFO,
    "<cockpit_machines:data xmlns:cockpit_machines='https://github.com/cockpit-project'><!-- why -->"
    "<cockpit_machines:has_install_phase>false</cockpit_machines:has_install_phase></cockpit_machines:data>",
    "<plain z='1' a='2'  b = \"'\"/>",
    '<a xmlns="urn:default"><b x="&quot;&#10;">&lt;t&gt; &amp; é <![CDATA[<raw & text>]]></b><?pi some?></a>',
    "<kept-as-it-is>&amp;lt;</kept-as-it-is>",
    '<nova:instance xmlns:nova="urn:n" xmlns:x="urn:x"><x:y nova:z="1"/></nova:instance>',
]
COMMAND = (
    "<qemu:commandline>\n    <qemu:arg value=\"-name\"/>\n    <qemu:arg value='osinfo,debug-threads=on'/>\n"
    "    <qemu:env name='X' value='1'/>\n  </qemu:commandline>"
)


def domain(*metadata: str, after: str = "") -> str:
    return (
        '<domain type="qemu" xmlns:qemu="http://libvirt.org/schemas/domain/qemu/1.0" xmlns:lxc="urn:lxc">\n'
        f'  <name>odd</name>\n  <metadata>{"".join(metadata)}\n  </metadata>\n  <memory unit="MiB">256</memory>'
        f"<!-- ours? --><vcpu>1</vcpu><devices/>{after}\n</domain>"
    )


def written(text: str, size: GuestSize | None = None) -> str:
    tree = parse_definition(text, "a guest", MARKER_NAMESPACE)
    if size is not None:
        assert set_size(tree, size)
    return restored(ET.tostring(tree, encoding="unicode"))


def prefixed(prefix: str, declaration: str) -> str:
    """The marker with another prefix."""
    found = MARKER.replace("<innkeeper:", f"<{prefix}").replace("</innkeeper:", f"</{prefix}")
    return found.replace("xmlns:innkeeper", declaration)


@pytest.mark.parametrize("other", OTHERS)
def test_metadata_of_others_is_the_same_after_a_resize(other: str) -> None:
    text = written(domain(other, "\n    ", MARKER, OSINFO, after=COMMAND), GuestSize(cores=2, memory_mib=512))
    assert other in text
    assert OSINFO in text
    assert COMMAND in text
    assert 'xmlns:qemu="http://libvirt.org/schemas/domain/qemu/1.0" xmlns:lxc="urn:lxc"' in text
    found = ET.fromstring(text)  # noqa: S314  our own text
    assert (found.findtext("memory"), marker_in(found), generation_in(found)) == (
        str(512 * 1024), marker_in(ET.fromstring(domain(MARKER))), 3,  # noqa: S314  our own text
    )  # fmt: skip


def test_an_unchanged_definition_keeps_what_it_has() -> None:
    text = domain(*OTHERS, after=COMMAND)
    assert ET.canonicalize(written(text)) == ET.canonicalize(text)


@pytest.mark.parametrize(
    "marker",
    [
        MARKER,
        prefixed("", "xmlns"),
        prefixed("i:", "xmlns:i").replace('"3"', "'3'"),
    ],
)
def test_our_marker_is_found_by_its_namespace_whatever_its_prefix(marker: str) -> None:
    tree = parse_definition(domain(OSINFO, marker), "a guest", MARKER_NAMESPACE)
    assert generation_in(tree) == 3
    assert tree.find(f"metadata/{{{MARKER_NAMESPACE}}}marker/{{{MARKER_NAMESPACE}}}maximum") is not None
    assert generation_in(parse_definition(written(domain(OSINFO, marker)), "a guest", MARKER_NAMESPACE)) == 3


def test_an_element_of_others_with_our_prefix_is_not_ours() -> None:
    foreign = MARKER.replace(MARKER_NAMESPACE, "urn:somebody")
    tree = parse_definition(domain(foreign), "a guest", MARKER_NAMESPACE)
    assert marker_in(tree) is None
    assert foreign in written(domain(foreign))


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff<&]")))
def test_any_text_of_others_is_the_same(text: str) -> None:
    other = f"<note>{text}</note>"
    assert other in written(domain(other, MARKER))


@pytest.mark.parametrize("text", ["", "<domain>", "<domain><a></domain>", "<domain/><domain/>", "\x00"])
def test_text_that_is_no_xml_is_an_error_of_the_host(text: str) -> None:
    with pytest.raises(DriverFailed, match="XML of a guest is invalid"):
        parse_definition(text, "a guest", MARKER_NAMESPACE)
