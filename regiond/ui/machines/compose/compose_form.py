"""The form that composes VMs, as it was typed. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from attrs import evolve, field, frozen

from regiond.requests.identifiers import numbered_names
from regiond.ui.texts import constant, text
from regiond.ui.web_request import WebRequest

MOST_ROWS = 16
MOST_VMS = 20
_NUMBER = re.compile(r"(disk|nic)(\d{1,3})-", re.ASCII)
_COUNT = re.compile(r"\d{1,2}", re.ASCII)
TEXTS = (
    "hostname", "count", "vm_zone", "vm_pool", "host", "zone", "pool", "tags", "architecture", "cores", "memory",
    "pinned_cores", "hugepage_size", "affinity", "anti_affinity", "max_cores", "max_memory", "template", "of_template",
    "register_in_maas", "owner",
)  # fmt: skip
ADVANCED = (
    "architecture", "hugepage_size", "affinity", "anti_affinity", "max_cores", "max_memory", "register_in_maas",
    "owner",
)  # fmt: skip
DISK_FIELDS = ("size", "pool", "tags")
NIC_FIELDS = ("name", "space", "subnet", "kind", "ip")
TICKS = ("hugepages_backed", "one_numa_node", "uefi", "secure_boot", "tpm", "power_on", "stock")
ANY, PIN_COUNT, PIN_IDS = "no", "count", "yes"  # of the field `pins`: how cores are chosen
_LABELS: Mapping[str, str] = {
    "hostname": constant("Name"),
    "count": constant("How many"),
    "template": constant("Template"),
    "vm_zone": constant("Zone of the VM"),
    "vm_pool": constant("Resource pool of the VM"),
    "host": constant("Host"),
    "zone": constant("Zones of the host"),
    "pool": constant("Resource pools of the host"),
    "tags": constant("Tags of the host"),
    "architecture": constant("Architecture"),
    "cores": constant("Number of cores"),
    "memory": constant("RAM"),
    "pinned_cores": constant("Ids of cores"),
    "hugepages_backed": constant("Memory in huge pages"),
    "hugepage_size": constant("Size of a huge page"),
    "one_numa_node": constant("One NUMA node"),
    "uefi": constant("UEFI firmware"),
    "secure_boot": constant("Secure Boot"),
    "tpm": constant("TPM"),
    "power_on": constant("Start"),
    "owner": constant("Owner"),
    "stock": constant("Stock"),
    "register_in_maas": constant("MAAS"),
    "max_cores": constant("Most cores while it runs"),
    "max_memory": constant("Most RAM while it runs"),
    "affinity": constant("With the VMs of group"),
    "anti_affinity": constant("Apart from the VMs of group"),
    "disks": constant("Disks"),
    "nics": constant("Network interfaces"),
}
_ROW_LABELS: Mapping[str, str] = {
    "size": constant("Size"),
    "pool": constant("Storage pool"),
    "tags": constant("Tags"),
    "name": constant("Name"),
    "space": constant("Space"),
    "subnet": constant("Subnet"),
    "kind": constant("Attach as"),
    "ip": constant("IP address"),
}


def _label_of(name: str, row: str) -> str:
    return text("{field} of {row}", field=_ROW_LABELS[name], row=row)


@frozen(kw_only=True)
class DiskRow:
    number: int
    size: str = "8"
    pool: str = ""
    tags: str = ""


@frozen(kw_only=True)
class NicRow:
    number: int
    name: str = ""
    space: str = ""
    subnet: str = ""
    kind: str = ""
    ip: str = ""

    @property
    def label(self) -> str:
        """The name that the interface gets."""
        return self.name or f"eth{self.number}"


@frozen(kw_only=True)
class ComposeForm:
    """The form without blanks around its texts. The first disk is the one that the VM boots from."""

    values: Mapping[str, str] = field(factory=dict)
    pins: str = ANY
    ticks: frozenset[str] = frozenset()
    disks: tuple[DiskRow, ...] = (DiskRow(number=0),)
    nics: tuple[NicRow, ...] = ()

    def text(self, name: str) -> str:
        return self.values.get(name, "")

    @property
    def count(self) -> int:
        """Returns the number of VMs; 0 if the text is none."""
        text = self.text("count") or "1"
        number = int(text) if _COUNT.fullmatch(text) else 0
        return number if number <= MOST_VMS else 0

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the VMs, if a name was typed."""
        return numbered_names(self.text("hostname") or None, self.count)

    @property
    def has_advanced(self) -> bool:
        """Whether something was typed or ticked below *Advanced*, so that only this can have problems there."""
        return bool(self.ticks) or any(self.text(name) for name in ADVANCED)

    @property
    def labels(self) -> Mapping[str, str]:
        """The words of the page for each field that can have a problem."""
        return {**_LABELS, **dict(self._row_labels())}

    def _row_labels(self) -> Iterator[tuple[str, str]]:
        for position, disk in enumerate(self.disks):
            for name in DISK_FIELDS:
                yield f"disk{disk.number}-{name}", _label_of(name, disk_label(position, disk))
        for nic in self.nics:
            for name in NIC_FIELDS:
                yield f"nic{nic.number}-{name}", _label_of(name, nic.label)

    def changed(self, action: str) -> ComposeForm:
        """With a row more or less: `add-disk`, `add-nic`, `remove-disk-1`, `remove-nic-0`."""
        kind, _, rest = action.partition("-")
        if kind == "add" and rest == "disk" and len(self.disks) < MOST_ROWS:
            return evolve(self, disks=(*self.disks, DiskRow(number=_free(self.disks))))
        if kind == "add" and rest == "nic" and len(self.nics) < MOST_ROWS:
            free = _free(self.nics)
            return evolve(self, nics=(*self.nics, NicRow(number=free, name=f"eth{free}")))
        what, _, number = rest.partition("-")
        if kind == "remove" and what == "disk" and len(self.disks) > 1:
            return evolve(self, disks=tuple(row for row in self.disks if str(row.number) != number))
        if kind == "remove" and what == "nic":
            return evolve(self, nics=tuple(row for row in self.nics if str(row.number) != number))
        return self


def disk_label(position: int, row: DiskRow) -> str:
    return "root" if position == 0 else f"disk{row.number}"


def _free(rows: Sequence[DiskRow | NicRow]) -> int:
    taken = {row.number for row in rows}
    return next(number for number in range(len(rows) + 1) if number not in taken)


def read_form(request: WebRequest) -> ComposeForm:
    """From a form that was sent, else from the address of the page."""
    if request.method != "POST":
        return _from_address(request)
    numbers: dict[str, list[int]] = {"disk": [], "nic": []}
    for name in request.form:
        if (found := _NUMBER.match(name)) and int(found[2]) not in numbers[found[1]]:
            numbers[found[1]].append(int(found[2]))

    def row(kind: str, number: int, names: Sequence[str]) -> dict[str, str]:
        return {name: request.given(f"{kind}{number}-{name}").strip() for name in names}

    disks = tuple(DiskRow(number=number, **row("disk", number, DISK_FIELDS)) for number in numbers["disk"][:MOST_ROWS])
    nics = tuple(NicRow(number=number, **row("nic", number, NIC_FIELDS)) for number in numbers["nic"][:MOST_ROWS])
    pins = request.given("pins")
    return ComposeForm(
        values={name: request.given(name).strip() for name in TEXTS},
        pins=pins if pins in {PIN_COUNT, PIN_IDS} else ANY,
        ticks=frozenset(name for name in TICKS if request.given(name)),
        disks=disks or (DiskRow(number=0),),
        nics=nics,
    )


def _from_address(request: WebRequest) -> ComposeForm:
    pinned = request.option("pinned_cores")
    values = {"count": "1", "cores": "1", "memory": "2048", "host": request.option("host"), "pinned_cores": pinned}
    return ComposeForm(values=values, pins=PIN_IDS if pinned else ANY)
