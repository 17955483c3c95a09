"""The questions before changes of hosts: closing, other certificates, the review of settings. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from attrs import evolve

from regiond.hosts.model import HostView
from regiond.ui.forms.form_field import FormField
from regiond.ui.forms.question import NO_UNDO, Change, Question, Subject
from regiond.ui.hosts.overcommit import Sum
from regiond.ui.hosts.settings_form import SECRET
from regiond.ui.hosts.trust_view import TrustView
from regiond.ui.texts import constant, counted, text
from regiond.ui.web_request import page_url

REASON = FormField(
    name="reason", label=constant("Reason"), optional=True,
    help=constant("Shown with the host, and as the reason for which nothing is placed on it"),
)  # fmt: skip
_TOKEN = FormField(
    name="password",
    label=constant("Trust token"),
    kind="password",
    optional=True,
    help=(
        constant(
            "Needed if the present certificate is restricted to projects. On the server: lxc config trust "
            "add --name innkeeper, or incus config trust add innkeeper"
        )
    ),
)
_PAIR = (
    FormField(name="certificate", label=constant("Certificate, PEM"), kind="area"),
    FormField(name="key", label=constant("Private key, PEM"), kind="area", help=constant("Without a passphrase")),
)
_PASSWORD_AGAIN = FormField(
    name=SECRET, label=constant("Password, again"), kind="password", optional=True,
    help=constant("It is not sent back to this page. Empty: the stored one stays."),
)  # fmt: skip
STAYS_OPEN = constant("No new VM is placed there. VMs that are there stay and keep running.")


def settings_crumbs(host: HostView) -> tuple[tuple[str, str], ...]:
    return ((text("Hosts"), page_url("hosts")), (host.name, page_url("hosts", host.id, "settings")))


def closing_question(host: HostView, machines: int) -> Question:
    """`machines` is how many VMs are on the host."""
    return Question(
        title=text("Close {name} for placement?", name=host.name),
        section="hosts",
        crumbs=settings_crumbs(host),
        button=text("Close for placement"),
        back=page_url("hosts", host.id, "settings"),
        undo=text("It can be opened again at any time."),
        subjects=(Subject(name=host.name, detail=counted("{n} VM", "{n} VMs", machines)),),
        effects=(STAYS_OPEN,),
        kept=(("action", "close"),),
        fields=(REASON,),
    )


def cluster_closing_question(name: str, cluster_id: int, members: Iterable[str]) -> Question:
    return Question(
        title=text("Close all members of {name} for placement?", name=name),
        section="clusters",
        crumbs=((text("Clusters"), page_url("clusters")), (name, page_url("clusters", cluster_id, "settings"))),
        button=text("Close all members"),
        back=page_url("clusters", cluster_id, "settings"),
        undo=text("They can be opened again at any time."),
        subjects=[Subject(name=member) for member in members],
        effects=(STAYS_OPEN,),
        kept=(("action", "close"),),
        fields=(REASON,),
    )


def trust_question(host: HostView, trust: TrustView, action: str, sent: Mapping[str, str]) -> Question | None:
    """Returns the question before the trust changes; None before other actions.

    `sent` has what was shown and is accepted: `fingerprint`, or `field` and `value` of a confirmation. Without, it is
    what the server presents now.
    """
    asked = _TRUST_QUESTIONS.get(action)
    return None if asked is None else asked(host, trust, sent)


def asks_on_add(trust: TrustView, action: str, fingerprint: str) -> bool:
    """Returns whether the page that adds a host asks before this action: it leads to hosts in use too.

    The first acceptance needs no question, because that page is the comparison of the fingerprints.
    """
    is_other = bool(trust.presented) or fingerprint != trust.pinned
    return action == "confirm" or (action == "accept" and bool(trust.pinned) and is_other)


def _about_trust(host: HostView, action: str, *kept: tuple[str, str]) -> Question:
    back = page_url("hosts", host.id, "settings")
    return Question(
        title="",
        section="hosts",
        crumbs=settings_crumbs(host),
        button="",
        back=back,
        undo="",
        kept=(("action", action), *kept),
    )


def _acceptance(host: HostView, trust: TrustView, sent: Mapping[str, str]) -> Question | None:
    """The comparison of the pinned fingerprint, or of another one with the pinned or the named one."""
    fingerprint = sent.get("fingerprint") or trust.shown
    if not fingerprint:
        return None
    question, kind = _about_trust(host, "accept", ("fingerprint", fingerprint)), trust.server_kind
    if fingerprint == trust.pinned:
        return evolve(
            question,
            title=text("Confirm the {kind} of {name}?", kind=kind, name=host.name),
            button=text("Both are the same"),
            subjects=(Subject(name=fingerprint, detail=text("pinned at first contact")),),
            effects=(
                text(
                    "Confirm it only if {name} prints the same: {command}", name=host.name, command=trust.check_command
                ),
                *([text("A trust password may then be sent to it.")] if trust.is_lxd else []),
            ),
            undo=text("It is accepted until you accept another one."),
        )
    label = text("Pinned {kind}", kind=kind) if trust.pinned else text("Expected {kind}", kind=kind)
    before = trust.pinned or trust.expected or text("none")
    return evolve(
        question,
        title=(
            text("Accept another {kind} of {name}?", kind=kind, name=host.name)
            if trust.pinned
            else text("Accept this {kind} of {name}?", kind=kind, name=host.name)
        ),
        button=text("Accept the new {kind}", kind=kind) if trust.pinned else text("Accept the {kind}", kind=kind),
        is_dangerous=True,
        changes=(Change(label=label, before=before, after=fingerprint),),
        effects=(
            text(
                "Racks then connect to whoever has this {kind}: compare it with what {name} prints.",
                kind=kind,
                name=host.name,
            ),
        ),
        undo=(
            text("The old one is accepted no more.")
            if trust.pinned
            else text("It is accepted until you accept another one.")
        ),
    )


def _confirmation(host: HostView, trust: TrustView, sent: Mapping[str, str]) -> Question | None:
    """The server that the host is: that of another host, or one with another identity than before."""
    now = trust.confirmation
    field = sent.get("field") or (now.field if now else "")
    value = sent.get("value") or (now.value if now else "")
    if not field or not value:
        return None
    details, is_host = host.error_details, field == "host"
    reported = (details.reported if details else None) or value
    return evolve(
        _about_trust(host, "confirm", ("field", field), ("value", value)),
        title=(
            text("Is {name} the server of host {host}?", name=host.name, host=value)
            if is_host
            else text("Accept another identity of {name}?", name=host.name)
        ),
        button=text("They are one server") if is_host else text("Accept its identity"),
        is_dangerous=True,
        changes=(
            Change(
                label=text("Server"),
                before=(details.known if details else None) or text("not known"),
                after=reported if is_host else value,
            ),
        ),
        effects=(
            text("Innkeeper then takes what {name} reports for that of this server.", name=host.name),
            text("If it is another server, remove the host and add that server instead."),
        ),
        undo=NO_UNDO,
    )


def _rotation(host: HostView, trust: TrustView, _: Mapping[str, str]) -> Question:
    return evolve(
        _about_trust(host, "rotate"),
        title=text("Replace our certificate on {name}?", name=host.name),
        button=text("Replace certificate"),
        changes=(
            Change(
                label=text("Our certificate"),
                before=trust.certificate or text("none"),
                after=text("a new one, made now"),
            ),
        ),
        effects=(text("All racks move to the new one, then the server trusts the old one no more. Nothing stops."),),
        undo=text("The old one cannot be used again."),
        fields=(_TOKEN,),
        secrets=frozenset({"password"}),
    )


def _own_pair(host: HostView, trust: TrustView, _: Mapping[str, str]) -> Question:
    return evolve(
        _about_trust(host, "certificate"),
        title=text("Use another certificate on {name}?", name=host.name),
        button=text("Use this pair"),
        changes=(
            Change(
                label=text("Our certificate"), before=trust.certificate or text("none"), after=text("the one below")
            ),
        ),
        effects=(text("{name} has to trust it: add it to the server's trust list first.", name=host.name),),
        undo=text("The old one stays in use until the new one has answered; then it cannot be used again."),
        fields=_PAIR,
        secrets=frozenset({"key"}),
    )


_TRUST_QUESTIONS: Mapping[str, Callable[[HostView, TrustView, Mapping[str, str]], Question | None]] = {
    "accept": _acceptance,
    "confirm": _confirmation,
    "rotate": _rotation,
    "certificate": _own_pair,
}


def settings_question(
    host: HostView,
    changes: Sequence[Change],
    sums: Iterable[Sum],
    kept: Sequence[tuple[str, str]],
    *,
    has_password: bool,
) -> Question:
    """Returns the review of changed settings, with what becomes of limits that get lower than what is claimed.

    A password is never sent back to a page: with `has_password` it is asked for again.
    """
    below = [one for one in sums if one.is_changed and one.new.over and not one.saved.over]
    number = len(changes) + has_password
    capacities = [
        Change(
            label=text("RAM") if one.name == "memory" else text("Cores"),
            before=text("{free} free of {whole}", free=one.saved.free, whole=one.saved.whole),
            after=text("{over} over {total}", over=one.new.over, total=one.new.whole),
        )
        for one in below
    ]
    effect = text("No VM is changed or stopped. {name} takes no new VM until enough is released.", name=host.name)
    return Question(
        title=(
            text("Set the limits of {name} below what is claimed?", name=host.name)
            if below
            else counted("Save {n} change of {name}?", "Save {n} changes of {name}?", number, name=host.name)
        ),
        section="hosts",
        crumbs=settings_crumbs(host),
        button=text("Save"),
        back=page_url("hosts", host.id, "settings"),
        undo=text("It can be changed again at any time."),
        changes=[*changes, *capacities],
        effects=(effect,) if below else (),
        kept=kept,
        fields=(_PASSWORD_AGAIN,) if has_password else (),
        secrets=frozenset({SECRET}),
    )
