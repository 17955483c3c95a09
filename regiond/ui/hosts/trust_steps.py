"""The way of a new host to trust, as a list: what is done, what it waits for now, what follows. Pure."""

from __future__ import annotations

from attrs import frozen

from regiond.ui.hosts.trust_view import TrustView
from regiond.ui.texts import text

DONE, NOW, LATER = "done", "now", "todo"


@frozen(kw_only=True)
class SoFar:
    """`state` is done, now or todo."""

    text: str
    state: str
    detail: str = ""


def steps_so_far(trust: TrustView) -> tuple[SoFar, ...]:
    """Returns the steps of a host that is not trusted yet."""
    place = "" if trust.advice is None else trust.advice.place
    accepts = (
        text("Let it accept our certificate")
        if trust.is_lxd
        else text("Let it accept our SSH key")
        if trust.ssh_public_key
        else text("Let it accept our login")
    )
    has_pair = trust.is_lxd or bool(trust.ssh_public_key)
    answered = place == "which"
    return (
        SoFar(text=text("Host added, key pair generated") if has_pair else text("Host added"), state=DONE),
        SoFar(text=text("Reached by a rack"), state=DONE if trust.shown or answered else NOW),
        *((_confirmed(trust, place),) if trust.shown else ()),
        SoFar(
            text=accepts,
            state=DONE if answered else NOW if place in {"trust", "retry"} else LATER,
        ),
        *((SoFar(text=text("Decide which server it is"), state=NOW),) if answered else ()),
        SoFar(text=text("Check the host"), state=LATER),
    )


def _confirmed(trust: TrustView, place: str) -> SoFar:
    if trust.is_confirmed and not trust.presented:
        return SoFar(text=text("Its {server} confirmed", server=trust.server_kind), state=DONE)
    if place == "server":
        return SoFar(text=text("Confirm its {server}", server=trust.server_kind), state=NOW)
    when = text("Only needed before a password is sent") if trust.is_lxd else text("Can be done later, in the settings")
    return SoFar(text=text("Confirm its {server}", server=trust.server_kind), state=LATER, detail=when)
