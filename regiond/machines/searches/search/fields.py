"""The fields with which machines are searched. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from regiond.machines.values.states import MachineState
from regiond.requests.search_numbers import MEMORY_MIB, STORAGE_BYTES
from regiond.requests.search_query import Fields, Kind, SearchField, fields_by_name

NEED_ATTENTION = (
    MachineState.MISSING,
    MachineState.BROKEN,
    MachineState.FAILED_DEPLOYMENT,
    MachineState.FAILED_COMPOSE,
    MachineState.FAILED,
)
_FAILED = (MachineState.FAILED_DEPLOYMENT, MachineState.FAILED_COMPOSE, MachineState.FAILED)
_STATES: Mapping[str, tuple[str, ...]] = {
    **{state.value: (state.value,) for state in MachineState},
    "failed": tuple(state.value for state in _FAILED),
    "failed_release": (MachineState.FAILED.value,),
}
_POWER_STATES = {"on": ("on",), "off": ("off",), "paused": ("paused",), "unknown": ("unknown",)}
_PROPERTIES = {name: (name,) for name in ("attention", "stock", "in_use", "locked", "adopted", "idle", "at_limit")}

MACHINE_FIELDS: Fields = fields_by_name((
    SearchField(name="name", kind=Kind.TEXT, doc="A part of the name.", example="name:web"),
    SearchField(name="id", kind=Kind.TEXT, doc="The system id.", example="id:wdpx3n"),
    SearchField(
        name="state", kind=Kind.CHOICE, doc="The state; failed is every failure.", example="state:failed",
        choices=_STATES,
    ),
    SearchField(name="power", kind=Kind.CHOICE, doc="The power state.", example="power:on", choices=_POWER_STATES),
    SearchField(
        name="is", kind=Kind.CHOICE, doc="A property; idle is for a week.", example="is:attention",
        choices=_PROPERTIES,
    ),
    SearchField(name="host", kind=Kind.NAME, doc="The host.", example="host:hv-0*", may_lack=True),
    SearchField(name="cluster", kind=Kind.NAME, doc="The cluster of its host.", example="cluster:main", may_lack=True),
    SearchField(name="pool", kind=Kind.NAME, doc="The resource pool.", example="pool:staging"),
    SearchField(name="zone", kind=Kind.NAME, doc="The zone.", example="zone:east"),
    SearchField(
        name="owner", kind=Kind.NAME, doc="The user who owns it.", example="owner:ann", may_lack=True, may_come=True
    ),
    SearchField(
        name="tag", kind=Kind.NAME, doc="A tag; a+b is both.", example="tag:gpu", may_lack=True, has_many=True,
        may_come=True,
    ),
    SearchField(
        name="os", kind=Kind.NAME, doc="What is deployed: system or release.", example="os:ubuntu", may_lack=True,
        has_many=True, may_come=True,
    ),
    SearchField(name="arch", kind=Kind.NAME, doc="The architecture.", example="arch:amd64", may_come=True),
    SearchField(name="address", kind=Kind.TEXT, doc="A part of an IP address.", example="address:10.20.10."),
    SearchField(name="mac", kind=Kind.TEXT, doc="A part of a MAC address.", example="mac:00:16:3e"),
    SearchField(
        name="description", kind=Kind.TEXT, doc="A part of the description.", example='description:"build farm"'
    ),
    SearchField(name="cores", kind=Kind.NUMBER, doc="Cores.", example="cores:>=4"),
    SearchField(name="ram", kind=Kind.NUMBER, doc="RAM in GiB.", example="ram:8..16", unit=MEMORY_MIB),
    SearchField(name="storage", kind=Kind.NUMBER, doc="All disks in GB.", example="storage:>100", unit=STORAGE_BYTES),
))  # fmt: skip
