"""qemu+ssh with a real sshd: the key from memory, the pinned host key, and the errors when either is wrong."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve

from common.addresses.host_identity import identity_fingerprint
from common.errors import HostUnreachable, InvalidRequest, NotTrusted, PeerChanged
from common.values import DriverType, HostAccess
from rackd.drivers.libvirt.connection.ssh import public_key
from rackd.drivers.libvirt.factory import LibvirtDriverFactory
from tests.lab.conftest import INSTALLATION
from tests.support.ports import free_port

OPENING = LibvirtDriverFactory()


@pytest.fixture
def access(lab_ssh: tuple[str, str]) -> HostAccess:
    """The lab's host before its key is pinned."""
    address, key = lab_ssh
    return HostAccess(
        host_id=1,
        driver=DriverType.LIBVIRT,
        address=address,
        installation_id=INSTALLATION,
        credentials={"ssh_private_key": key},
    )


@pytest.fixture
def pinned(access: HostAccess) -> HostAccess:
    identity = OPENING.identify(access)
    assert identity is not None
    return evolve(access, pinned=identity.material)


@pytest.fixture
def another_key(tmp_path: Path) -> str:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", tmp_path / "key"], check=True)
    return (tmp_path / "key").read_text()


@pytest.fixture
def sshd_with_every_key(access: HostAccess, tmp_path: Path) -> Iterator[int]:
    """The port of an sshd with a host key of each type, as most hosts have."""
    key = access.credentials["ssh_private_key"]
    (tmp_path / "authorized_keys").write_text(public_key(key) + "\n")
    options = []
    for kind in ("rsa", "ecdsa", "ed25519"):
        subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", tmp_path / kind], check=True)
        options += ["-h", str(tmp_path / kind)]
    port = free_port()
    for option in (
        "ListenAddress=127.0.0.1",
        f"AuthorizedKeysFile={tmp_path}/authorized_keys",
        "StrictModes=no",
        "UsePAM=no",
        "PidFile=none",
    ):
        options += ["-o", option]
    command = ["/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", "-p", str(port), *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as sshd:
        assert sshd.stderr is not None
        assert "listening" in sshd.stderr.readline()
        yield port
        sshd.terminate()


def test_the_host_key_is_read_without_a_login(access: HostAccess) -> None:
    identity = OPENING.identify(evolve(access, credentials={}))
    assert identity is not None
    assert identity.kind == "ssh-host-key"
    assert identity.fingerprint == identity_fingerprint(identity.material)
    assert identity.fingerprint.startswith("SHA256:")


def test_the_pinned_key_is_the_one_used_at_login(access: HostAccess, sshd_with_every_key: int) -> None:
    many = evolve(access, address=f"qemu+ssh://root@127.0.0.1:{sshd_with_every_key}/system")
    identity = OPENING.identify(many)
    assert identity is not None
    driver = OPENING.open(evolve(many, pinned=identity.material))
    try:
        assert driver.discover().calls > 0
    finally:
        driver.close()


def test_ssh_and_socket_reach_the_same_server(pinned: HostAccess) -> None:
    over_ssh = OPENING.open(pinned)
    local = OPENING.open(evolve(pinned, address="qemu:///system", credentials={}, pinned=None))
    try:
        assert over_ssh.discover().facts.server_identity == local.discover().facts.server_identity
    finally:
        over_ssh.close()
        local.close()


def test_no_key_stays_open_after_the_login(pinned: HostAccess) -> None:
    driver = OPENING.open(pinned)
    links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    assert not [link for link in links if str(link.readlink()).startswith("/memfd:")]
    driver.close()


def test_unpinned_hosts_are_not_contacted(access: HostAccess) -> None:
    with pytest.raises(NotTrusted, match="host key"):
        OPENING.open(access)


def test_a_changed_host_key_names_both_fingerprints(pinned: HostAccess, another_key: str) -> None:
    trusted = public_key(another_key)
    with pytest.raises(PeerChanged) as rejected:
        OPENING.open(evolve(pinned, pinned=trusted))
    assert identity_fingerprint(trusted) in str(rejected.value)
    assert pinned.pinned is not None
    assert identity_fingerprint(pinned.pinned) in str(rejected.value)


def test_a_rejected_login_names_the_key_to_add(pinned: HostAccess, another_key: str) -> None:
    with pytest.raises(NotTrusted) as rejected:
        OPENING.open(evolve(pinned, credentials={"ssh_private_key": another_key}))
    assert public_key(another_key) in str(rejected.value)
    assert "PRIVATE" not in str(rejected.value)


def test_an_unknown_user_is_a_rejected_login(pinned: HostAccess) -> None:
    with pytest.raises(NotTrusted, match="nobody-here"):
        OPENING.open(evolve(pinned, address=pinned.address.replace("root@", "nobody-here@")))


def test_a_closed_port_is_unreachable(pinned: HostAccess) -> None:
    with pytest.raises(HostUnreachable, match="refused"):
        OPENING.open(evolve(pinned, address="qemu+ssh://root@127.0.0.1:1/system"))
    with pytest.raises(HostUnreachable):
        OPENING.identify(evolve(pinned, address="qemu+ssh://root@127.0.0.1:1/system"))


def test_a_command_in_the_address_is_never_run(pinned: HostAccess, tmp_path: Path) -> None:
    trace = tmp_path / "run"
    with pytest.raises(InvalidRequest, match="Query"):
        OPENING.open(evolve(pinned, address=f"{pinned.address}?command=touch%20{trace}"))
    assert not trace.exists()
