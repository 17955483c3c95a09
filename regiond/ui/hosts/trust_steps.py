"""The way of a new host to trust, as a list: what is done, what it waits for now, what follows. Pure."""

from __future__ import annotations

from attrs import frozen

from regiond.ui.hosts.trust_view import TrustView

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
    credential = "our certificate" if trust.is_lxd else "our SSH key" if trust.ssh_public_key else "our login"
    answered = place == "which"
    return (
        SoFar(text="Host added" if credential == "our login" else "Host added, key pair generated", state=DONE),
        SoFar(text="Reached by a rack", state=DONE if trust.shown or answered else NOW),
        *((_confirmed(trust, place),) if trust.shown else ()),
        SoFar(
            text=f"Let it accept {credential}",
            state=DONE if answered else NOW if place in {"trust", "retry"} else LATER,
        ),
        *((SoFar(text="Decide which server it is", state=NOW),) if answered else ()),
        SoFar(text="Check the host", state=LATER),
    )


def _confirmed(trust: TrustView, place: str) -> SoFar:
    if trust.is_confirmed and not trust.presented:
        return SoFar(text=f"Its {trust.server_kind} confirmed", state=DONE)
    if place == "server":
        return SoFar(text=f"Confirm its {trust.server_kind}", state=NOW)
    when = "Only needed before a password is sent" if trust.is_lxd else "Can be done later, in the settings"
    return SoFar(text=f"Confirm its {trust.server_kind}", state=LATER, detail=when)
