"""The fields of the forms that add, edit, grow and move a disk, and what they show of it. Pure."""

from __future__ import annotations

from common.units import BYTES_PER_GB
from regiond.hosts.model import HostView
from regiond.machines.values.disks import DiskView
from regiond.ui.forms.form_field import FormField
from regiond.ui.machines.details.vm_form import FormFact
from regiond.ui.texts import text
from regiond.ui.views import formats

SIZE, POOL, TAGS = "size", "pool", "tags"


def add_fields(host: HostView | None) -> list[FormField]:
    return [
        FormField(name=SIZE, label=text("Size in GB"), kind="number", minimum=1),
        FormField(
            name=POOL,
            label=text("Storage pool"),
            kind="choice",
            options=pool_options(host),
            none_label=text("Automatic"),
            optional=True,
            help=text("Automatic: a storage pool that a tag names, else the default one of the host"),
        ),
        tags_field(),
    ]


def tags_field() -> FormField:
    return FormField(
        name=TAGS,
        label=text("Tags"),
        optional=True,
        help=text("Names, separated by commas; the storage constraint of an allocation names them"),
    )


def grow_fields() -> list[FormField]:
    return [FormField(name=SIZE, label=text("New size in GB"), kind="number", minimum=1)]


def move_fields(host: HostView | None, disk: DiskView) -> list[FormField]:
    """Returns the choice of another storage pool; without one in which the disk is, and with none if there is none."""
    others = tuple(one for one in pool_options(host) if one[0] != disk.storage_pool_name)
    return [FormField(name=POOL, label=text("Storage pool"), kind="choice", options=others)] if others else []


def size_fact(disk: DiskView) -> FormFact:
    return FormFact(label=text("Size"), text=formats.storage(disk.size_bytes))


def pool_fact(disk: DiskView) -> FormFact:
    return FormFact(label=text("Storage pool"), text=disk.storage_pool_name)


def facts_with_pending(disk: DiskView) -> list[FormFact]:
    size = disk.pending_size_bytes
    pending = [FormFact(label=text("At the next start"), text=formats.storage(size))] if size else []
    return [size_fact(disk), *pending, pool_fact(disk)]


def pool_options(host: HostView | None) -> tuple[tuple[str, str], ...]:
    """Returns the storage pools of the host that can take a disk, the default one first."""
    found = sorted(host.storage_pools, key=lambda pool: (not pool.is_default, pool.id)) if host else []
    return tuple(
        (pool.name, text("{name}, {size} free", name=pool.name, size=formats.storage(pool.capacity.free)))
        for pool in found
        if pool.missing_since is None and pool.is_available
    )


def size_in_gb(size_bytes: int) -> str:
    """Returns the size as the form shows it, with at most three decimals."""
    return f"{size_bytes / BYTES_PER_GB:.3f}".rstrip("0").rstrip(".")


def size_to_send(disk: DiskView, entered: str) -> str:
    """Returns the size in GB; the present size is exact, however it was shown: it takes back a pending one."""
    return str(disk.size_bytes / BYTES_PER_GB) if entered == size_in_gb(disk.size_bytes) else entered
