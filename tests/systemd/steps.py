"""What an administrator does with the packages, in the order of the test, and what has to be true after each step."""

from __future__ import annotations

from tests.pages.packages import LATER
from tests.systemd.administrator import UNITS, Administrator
from tests.systemd.backup_files import PAGE as BACKUP
from tests.systemd.backup_files import BackupFiles
from tests.systemd.guest import PACKAGES

INSTALL = "docs/how-to/install.md"
MONITOR = "docs/how-to/monitor.md"
MOST_EXPOSED = 1.2  # as docs/explanation/security.md says
NAMES = r"find / -xdev \( -iname '*innkeeper*' -o -iname '*regiond*' -o -iname '*rackd*' \)"


def install(admin: Administrator) -> None:
    """Both daemons are installed, confined as stated, and wait for their settings."""
    admin.enters(f"{PACKAGES}/now")
    admin.follows(INSTALL, "From packages")
    admin.enters("/root")
    assert admin.states("is-enabled") == dict.fromkeys(UNITS, "disabled")
    assert admin.states("is-active") == dict.fromkeys(UNITS, "inactive")
    # The lab's image has no manual pages, and tells dpkg to install none.
    changed = admin.types("dpkg --verify innkeeper innkeeper-region innkeeper-rack").splitlines()
    assert [line for line in changed if "/usr/share/man" not in line and "/usr/share/doc" not in line] == []
    assert max(admin.exposures().values()) <= MOST_EXPOSED


def set_up(admin: Administrator, section: str) -> None:
    admin.follows(INSTALL, section)


def serves(admin: Administrator) -> None:
    """Region and rack are active, the VM runs, and the journal has no warning."""
    assert admin.states("is-active") == dict.fromkeys(UNITS, "active")
    (host,) = admin.asks("vm-hosts read")
    assert (host["name"], host["state"], host["problems"]) == ("local", "ready", [])
    assert power_of(admin) == {"web-1": "on"}
    assert admin.types("virsh domstate web-1").strip() == "running"
    assert admin.asks("region check") == []
    assert admin.troubles() == []


def power_of(admin: Administrator) -> dict[str, str]:
    return {machine["hostname"]: machine["power_state"] for machine in admin.asks("machines read")}


def reads_its_metrics(admin: Administrator) -> None:
    admin.follows(MONITOR, "", "Racks")


def back_up(admin: Administrator) -> BackupFiles:
    admin.follows(BACKUP, "", "Every night")
    return BackupFiles.of(admin.guest)


async def restarts_and_reloads(admin: Administrator) -> None:
    """A reload changes the level of the log; systemd starts daemons again that were killed."""
    admin.guest.configure("/etc/innkeeper/regiond.toml", 'log_level = "warning"')
    admin.types("systemctl reload innkeeper-regiond")
    assert admin.states("is-active") == dict.fromkeys(UNITS, "active")
    before = {unit: admin.process_of(unit) for unit in UNITS}
    admin.types("systemctl kill --signal=KILL innkeeper-regiond innkeeper-rackd")
    await admin.sees(
        lambda: (
            admin.states("is-active") == dict.fromkeys(UNITS, "active")
            and all(admin.process_of(unit) not in {"0", before[unit]} for unit in UNITS)
        )
    )
    await rack_is_linked(admin)


async def rack_is_linked(admin: Administrator) -> None:
    await admin.sees(lambda: any(rack["connected"] for rack in admin.asks("racks read")))


async def survives_a_reboot(admin: Administrator) -> None:
    """Both daemons start with the machine; libvirt starts the VM again, since it ran, and the region knows it."""
    admin.types("echo SHUTDOWN_TIMEOUT=10 >> /etc/default/libvirt-guests")  # the VM has no system that could shut down
    await admin.guest.reboot()
    await admin.sees(lambda: admin.states("is-active") == dict.fromkeys(UNITS, "active"))
    await rack_is_linked(admin)
    await admin.sees(lambda: [host["state"] for host in admin.asks("vm-hosts read")] == ["ready"])
    await admin.sees(lambda: power_of(admin) == {"web-1": "on"})
    serves(admin)


async def restore(admin: Administrator, saved: BackupFiles) -> None:
    """The region has its rows again, its rack is lost with the other machine, and a new one may join."""
    saved.copy_to(admin.guest)
    admin.sets(INSTALL, "Region")  # which the guide compares with those of the backup
    admin.follows(BACKUP, "Restore")
    assert admin.states("is-active")["innkeeper-regiond"] == "active"
    assert power_of(admin).keys() == {"web-1"}
    (host,) = admin.asks("vm-hosts read")
    assert host["name"] == "local"


async def upgrade(admin: Administrator) -> None:
    """The same command with later packages keeps settings that were changed, and restarts the region."""
    settings = admin.types("sha256sum /etc/innkeeper/regiond.toml")
    before = admin.process_of("innkeeper-regiond")
    admin.enters(f"{PACKAGES}/later")
    admin.follows(INSTALL, "From packages")
    admin.enters("/root")
    assert admin.types("dpkg-query -W -f '${Version}\\n' innkeeper-region innkeeper-rack").split() == [LATER] * 2
    assert admin.types("sha256sum /etc/innkeeper/regiond.toml") == settings
    assert admin.process_of("innkeeper-regiond") not in {"0", before}
    assert admin.states("is-active")["innkeeper-regiond"] == "active"
    assert power_of(admin).keys() == {"web-1"}


def purge(admin: Administrator) -> None:
    """Nothing is left but what the guide says: users, backups, their pass phrase, and the database with its role."""
    admin.types("apt-get purge innkeeper innkeeper-region innkeeper-rack")
    left = [path for path in admin.types(NAMES).splitlines() if not path.startswith("/var/backups/innkeeper")]
    assert left == ["/etc/innkeeper"]
    assert admin.types("ls -A /etc/innkeeper").split() == ["backup-passphrase"]
    assert admin.types("pgrep -u innkeeper-regiond,innkeeper-rackd || true") == ""
    assert "innkeeper" not in admin.types("systemctl list-units --all --plain --no-legend 'innkeeper*'")
    users = admin.types("getent passwd innkeeper-regiond innkeeper-rackd | cut -d: -f1").split()
    assert users == ["innkeeper-regiond", "innkeeper-rackd"]
    counted = admin.types("runuser -l postgres -c \"psql -At innkeeper -c 'select count(*) from machine'\"")
    assert counted.strip() == "1"
