"""The form that adds a host, and the fields of the API that it makes. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from common.installed_drivers import added_types
from regiond.hosts.model import HostView
from regiond.ui.hosts.trust_advice import advice_of
from regiond.ui.texts import constant
from regiond.ui.web_request import WebRequest

_TYPES: Mapping[str, str] = {"lxd": "LXD", "virsh": "libvirt", "simulated": "simulated"}
_ALL = ("name", "power_address", "zone", "pool", "tags")
_BY_TYPE: Mapping[str, tuple[str, ...]] = {
    "lxd": ("project", "fingerprint"),
    "virsh": ("fingerprint",),
}
_OWN_PAIR = ("certificate", "key")
_SECRETS = {"lxd": "password", "virsh": "power_pass"}  # never printed again
REQUIRED = ("name", "power_address")
_MISSING = constant("This field is required.")


@frozen(kw_only=True)
class AddForm:
    """The form as it was typed. `supplies` is whether the user brings a certificate instead of having one generated."""

    type: str
    values: Mapping[str, str]
    supplies: bool
    secret: str

    @property
    def problems(self) -> dict[str, list[str]]:
        """Returns what is missing; the API checks the rest."""
        wanted = (*REQUIRED, *(_OWN_PAIR if self.supplies else ()))
        return {name: [_MISSING] for name in wanted if not self.values.get(name)}

    def fields(self) -> dict[str, str | None]:
        """The fields of `POST vm-hosts/`."""
        names = (*_ALL, *_BY_TYPE.get(self.type, ()), *(_OWN_PAIR if self.supplies else ()))
        found: dict[str, str | None] = {name: self.values.get(name) or None for name in names}
        if self.secret:
            found[_SECRETS[self.type]] = self.secret
        return {"type": self.type, **found}


def read_add_form(request: WebRequest, type_: str) -> AddForm:
    """From the form, or before it was sent from the address, by which a link can fill in fields."""
    is_sent = request.method == "POST"
    read = request.given if is_sent else request.option
    secret = _SECRETS.get(type_)
    return AddForm(
        type=type_,
        values={name: read(name).strip() for name in (*_ALL, *_BY_TYPE.get(type_, ()), *_OWN_PAIR)},
        supplies=type_ == "lxd" and read("pair") == "supply",
        secret=request.given(secret).strip() if secret and is_sent else "",
    )


def type_names() -> dict[str, str]:
    """Returns all types of hosts, with their names on pages."""
    return {**_TYPES, **{one: one for one in added_types()}}


def next_step(host: HostView) -> str:
    """Returns the next step: a host that answered is checked, one that does not trust us yet waits for that."""
    return "check" if advice_of(host) is None else "trust"
