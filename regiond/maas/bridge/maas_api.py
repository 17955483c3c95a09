"""The connection to a MAAS as the bridge needs it, and its requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from attrs import frozen

from common.errors import ResponseRejected
from regiond.maas.access import MaasAccess
from regiond.maas.bridge.model import POWER_TYPE, PowerSecret, RegisterRequest, Registration, webhook_url

Pairs = Sequence[tuple[str, str]]
MAX_IDS = 20  # in one request: each is 10 to 20 KB, and has up to five thousand values with many NICs


class MaasApi(Protocol):
    """The API 2.0 of one MAAS, as `MaasClient` calls it, with its errors."""

    async def get(self, path: str, *, op: str | None = None, query: Pairs = (), signed: bool = True) -> Any: ...

    async def post(self, path: str, *, form: Pairs) -> Any: ...

    async def delete(self, path: str) -> None: ...


Connect = Callable[[MaasAccess], MaasApi]


@frozen(kw_only=True)
class MaasIdentity:
    """The account of the key, and the version of the MAAS."""

    version: str
    username: str
    is_admin: bool


@frozen(kw_only=True)
class MaasRecord:
    """A machine as a MAAS has it."""

    system_id: str
    hostname: str
    mac_addresses: frozenset[str]


@frozen(kw_only=True)
class NewMaasRecord:
    """A machine as it is described to a MAAS."""

    hostname: str
    architecture: str
    mac_addresses: tuple[str, ...]
    base_url: str  # of this region, for power
    secret: PowerSecret
    verify_tls: bool
    request: RegisterRequest

    @property
    def fields(self) -> Pairs:
        """The form of `POST machines/`."""
        asked = self.request
        return (
            ("architecture", f"{self.architecture}/generic"),
            *(("mac_addresses", mac) for mac in self.mac_addresses),
            ("hostname", self.hostname),
            ("description", "A VM of Innkeeper, which switches it."),
            ("power_type", POWER_TYPE),
            ("power_parameters_power_on_uri", self.url("on")),
            ("power_parameters_power_off_uri", self.url("off")),
            ("power_parameters_power_query_uri", self.url("query")),
            ("power_parameters_power_token", self.secret.token),
            ("power_parameters_power_verify_ssl", "y" if self.verify_tls else "n"),
            ("commission", "true" if asked.commission and not asked.deployed else "false"),
            *((("deployed", "true"),) if asked.deployed else ()),
        )

    def url(self, action: str) -> str:
        return webhook_url(self.base_url, self.secret.power_id, action)


async def identify(api: MaasApi) -> MaasIdentity:
    """Returns who the key is, in which version. Raises the errors of the connection.

    No other server than a MAAS gets the key: its version is asked without.
    """
    version = _object(await api.get("version/", signed=False), "version/")
    user = _object(await api.get("users/", op="whoami"), "users/?op=whoami")
    return MaasIdentity(
        version=str(version.get("version", "")),
        username=str(user.get("username", "")),
        is_admin=user.get("is_superuser") is True,
    )


async def with_addresses(api: MaasApi, mac_addresses: Sequence[str]) -> tuple[MaasRecord, ...]:
    """Returns the machines that have one of these MAC addresses."""
    return await _records(api, [("mac_address", mac) for mac in mac_addresses])


async def with_ids(api: MaasApi, system_ids: Sequence[str]) -> tuple[MaasRecord, ...]:
    """Returns the machines with these ids that exist, asked for some at a time: each is 10 to 20 KB of the answer."""
    found: list[MaasRecord] = []
    for first in range(0, len(system_ids), MAX_IDS):
        found += await _records(api, [("id", one) for one in system_ids[first : first + MAX_IDS]])
    return tuple(found)


async def _records(api: MaasApi, query: Pairs) -> tuple[MaasRecord, ...]:
    """A filter without values would be none: MAAS then lists all it has."""
    if not query:
        return ()
    found = await api.get("machines/", query=query)
    if not isinstance(found, list):
        raise _unexpected("machines/")
    return tuple(_record(one) for one in found)


async def is_ours(api: MaasApi, system_id: str, power_id: str) -> bool:
    """Whether the power of the machine is switched at this address of ours, so that we have created it.

    Only the random part of the address counts: the others may have changed since.
    """
    parameters = _object(await api.get(f"machines/{system_id}/", op="power_parameters"), "power_parameters")
    return f"/webhook/{power_id}/" in str(parameters.get("power_query_uri", ""))


async def own_records(api: MaasApi, found: Registration) -> tuple[MaasRecord, ...]:
    """Returns what MAAS has of a machine because it was registered so: by MAC and by the address for power."""
    with_macs = await with_addresses(api, found.mac_addresses)
    return tuple([one for one in with_macs if await is_ours(api, one.system_id, found.power_id)])


async def record_of(api: MaasApi, found: Registration) -> tuple[MaasRecord, ...]:
    """Returns the record of a registration, nothing if MAAS has none of it.

    One with its id, but neither with its MAC addresses nor with its power, is another machine's.
    """
    if found.maas_system_id is None:
        return await own_records(api, found)
    macs = {mac.lower() for mac in found.mac_addresses}
    with_id = await with_ids(api, [found.maas_system_id])
    return tuple(
        [one for one in with_id if one.mac_addresses & macs or await is_ours(api, one.system_id, found.power_id)]
    )


async def create(api: MaasApi, record: NewMaasRecord) -> MaasRecord:
    return _record(await api.post("machines/", form=record.fields))


def _record(found: Any) -> MaasRecord:
    one = _object(found, "machines/")
    system_id = one.get("system_id")
    if not isinstance(system_id, str) or not system_id or not system_id.isalnum():
        raise _unexpected("machines/")
    interfaces = one.get("interface_set")
    macs = [str(nic.get("mac_address", "")) for nic in interfaces if isinstance(nic, dict)] if interfaces else []
    return MaasRecord(
        system_id=system_id,
        hostname=str(one.get("hostname", "")),
        mac_addresses=frozenset(mac.lower() for mac in macs),
    )


def _object(found: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(found, dict):
        raise _unexpected(what)
    return found


def _unexpected(what: str) -> ResponseRejected:
    return ResponseRejected(f"MAAS answered {what} with something else than its API has. Is the URL that of a MAAS?")
