"""libvirt addresses are parsed into fields and rebuilt; other texts are rejected with a reason."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from common.addresses.libvirt import Transport, parse
from common.errors import InvalidRequest

GOOD = {
    "qemu:///system": "qemu:///system",
    "qemu:///session": "qemu:///session",
    "test:///default": "test:///default",
    "qemu+ssh://root@kvm1/system": "qemu+ssh://root@kvm1/system",
    "qemu+ssh://ubuntu@KVM1.Example.org:22/system": "qemu+ssh://ubuntu@kvm1.example.org/system",
    "qemu+ssh://root@10.0.0.7:2222/system": "qemu+ssh://root@10.0.0.7:2222/system",
    "qemu+ssh://root@[2001:DB8:0::1]/system": "qemu+ssh://root@[2001:db8::1]/system",
    "qemu+ssh://root@[::1]:2222/system": "qemu+ssh://root@[::1]:2222/system",
    "qemu+tls://kvm1/system": "qemu+tls://kvm1/system",
    "qemu+tls://kvm1:16514/system": "qemu+tls://kvm1/system",
    "QEMU+ssh://root@kvm1/system": "qemu+ssh://root@kvm1/system",
}
BAD = {
    "": "not a libvirt address",
    "qemu:///system?socket=/tmp/x": "Query parameters",
    "qemu+ssh://root@kvm1/system?command=touch%20/tmp/x": "Query parameters",
    "qemu+ssh://root@kvm1/system#x": "fragment",
    "qemu+ssh://root@kvm1/system\n": "no spaces",
    " qemu:///system": "no spaces",
    "qemu+ssh://root@kvm1/system\x00": "no spaces",
    "qemu+ssh://röot@kvm1/system": "ASCII",
    "qemu+ssh://root:secret@kvm1/system": "password",
    "qemu+ssh://kvm1/system": "needs a user",
    "qemu+ssh://@kvm1/system": "needs a user",
    "qemu+ssh://-oProxyCommand=x@kvm1/system": "user",
    "qemu+ssh://a;b@kvm1/system": "user",
    "qemu+ssh://root@-oProxyCommand=x/system": "host name",
    "qemu+ssh://root@$(id)/system": "host name",
    "qemu+ssh://root@kvm1;id/system": "host name",
    "qemu+ssh://root@a%40b/system": "host name",
    "qemu+ssh://root@/system": "has no host",
    "qemu+ssh://root@kvm1:0/system": "port",
    "qemu+ssh://root@kvm1:65536/system": "port",
    "qemu+ssh://root@kvm1:/system": "port",
    "qemu+ssh://root@2001:db8::1/system": "brackets",
    "qemu+ssh://root@[fe80::1%25eth0]/system": "IP address",
    "qemu+ssh://root@[::1/system": "IP address",
    "qemu+ssh://root@1.2.3/system": "IP address",
    "qemu+ssh://root@kvm1/session": "/system",
    "qemu+ssh://root@kvm1": "/system",
    "qemu+ssh://root@kvm1/system/../x": "/system",
    "qemu+tls://root@kvm1/system": "has no user",
    "qemu+tcp://kvm1/system": "encrypted",
    "qemu+unix:///system": "scheme",
    "qemu+ext://kvm1/system": "scheme",
    "qemu://kvm1/system": "has no host",
    "qemu:///embed": "not known",
    "test:///etc/passwd": "not known",
    "test://host/default": "not known",
    "xen:///system": "scheme",
    "kvm1.example.org": "not a libvirt address",
}


@pytest.mark.parametrize(("text", "normalised"), GOOD.items())
def test_equivalent_addresses_have_one_normalised_text(text: str, normalised: str) -> None:
    assert parse(text).normalised == normalised


@pytest.mark.parametrize(("text", "reason"), BAD.items())
def test_other_addresses_are_rejected_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(InvalidRequest, match=re.escape(reason)):
        parse(text)


def test_messages_never_contain_a_password() -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse("qemu+ssh://root:hunter2@kvm1/system")
    assert "hunter2" not in str(caught.value)


def test_only_ssh_needs_a_key_and_only_sockets_are_local() -> None:
    assert parse("qemu+ssh://a@b/system").needs_ssh_key
    assert not any(parse(text).needs_ssh_key for text in ("qemu:///system", "qemu+tls://b/system"))
    assert parse("qemu:///session").is_local
    assert not parse("qemu+tls://b/system").is_local


def test_an_address_is_parsed_into_its_fields() -> None:
    address = parse("qemu+ssh://me@[2001:db8::1]:2022/system")
    assert (address.transport, address.user, address.host, address.port) == (Transport.SSH, "me", "2001:db8::1", 2022)


hosts = st.one_of(
    st.from_regex(r"[a-zA-Z0-9._-]{1,20}", fullmatch=True), st.ip_addresses().map(str), st.text(max_size=8)
)
addresses = st.one_of(
    st.text(max_size=60),
    st.builds(
        "{}://{}@{}:{}{}".format,
        st.sampled_from(["qemu+ssh", "qemu+tls", "qemu", "test"]),
        st.text(max_size=6) | st.just("root"),
        hosts | hosts.map("[{}]".format),
        st.integers(-1, 70000),
        st.sampled_from(["/system", "/session", "", "/system?x=1", "/system#"]),
    ),
    st.builds(
        "qemu+ssh://u@{}/system{}".format, hosts | hosts.map("[{}]".format), st.sampled_from(["", " ", "?a", "\t"])
    ),
)


@given(addresses)
@example("qemu+ssh://u@h/system\u2028")
def test_accepted_addresses_normalise_to_themselves(text: str) -> None:
    try:
        address = parse(text)
    except InvalidRequest:
        return
    assert parse(address.normalised) == address
    for clean in (text, address.normalised):
        assert not re.search(r"[?#\s\x00-\x1f;$`'\"\\|&<>()%]", clean)
