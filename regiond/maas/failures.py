"""Says what an answer or a broken connection of a MAAS means, and what helps. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from common.bodies.bounded_json import TooMuchJson, loads
from common.errors import InnkeeperError, MaasRefused, MaasUnavailable, ResponseRejected

_EXCERPT = 200
_MAX_DIGITS = 6
_MAX_FORM_VALUES = 1000  # of what is wrong with a form
_BUSY = frozenset({409, 429, 500, 502, 503, 504})
_KEY_HELP = (
    "Give a key of this MAAS: the page 'API keys' of a user shows it, or `maas apikey --username NAME` on its region "
    "controller. A key that was deleted there is not accepted any more."
)
_RIGHTS_HELP = (
    "Use the API key of an administrator of MAAS (in 3.8: of a user whose group may edit all machines). With fewer "
    "rights MAAS shows less, so the result would lack objects without a word."
)
GONE_HELP = (
    "MAAS 4.0 has no VM hosts. What it had is in a dump of its database from before the upgrade, and partly in one "
    "from after it: `innkeeper import maas --dump FILE`."
)
_PLACE_HELP = "Give the address that ends in /MAAS, as in http://maas.example.com:5240/MAAS."


@frozen(kw_only=True)
class MaasAnswer:
    """One response. `body` is complete."""

    status: int
    body: bytes = field(repr=False)
    content_type: str = ""
    location: str = ""
    retry_after: str = ""

    @property
    def is_json(self) -> bool:
        return self.content_type.partition(";")[0].strip().lower() == "application/json"

    def excerpt(self) -> str:
        """The text of the answer on one line, for messages: only plain text, since a page says nothing there."""
        if self.content_type.partition(";")[0].strip().lower() != "text/plain":
            return ""
        words = " ".join(self.body[: _EXCERPT * 4].decode("utf-8", "replace").split())
        return "".join(each for each in words if each.isprintable())[:_EXCERPT].rstrip(".")


def refusal(call: str, where: str, answer: MaasAnswer) -> InnkeeperError:
    """Returns the error for a response that is not 2xx. `call` is such as `GET users/`, `where` the MAAS's address."""
    said = answer.excerpt()
    status = answer.status
    found = f"{where} answered {call} with {status}{f': {said}' if said else ''}."
    if status in _BUSY:
        return MaasUnavailable(
            f"MAAS cannot do this now: {found} Try again; its log says more.",
            status=status,
            retry_after_s=_seconds(answer.retry_after),
        )
    if status == 400:
        return _rejected_form(found, answer)
    reason, begin, help_text = _meaning(answer)
    return MaasRefused(f"{begin}: {found} {help_text}".rstrip(), status=status, reason=reason)


def _meaning(answer: MaasAnswer) -> tuple[str, str, str]:
    """Returns the word for programs, the beginning of the message, and what helps."""
    match answer.status:
        case 401:
            late = "timestamp" in answer.excerpt().lower()
            clock = "The clock of the region's computer or of MAAS is wrong. " if late else ""
            meaning = "key", "MAAS does not accept the API key", clock + _KEY_HELP
        case 403:
            meaning = "rights", "The API key has too few rights in MAAS", _RIGHTS_HELP
        case 410:
            meaning = "gone", "This MAAS has no VM hosts", GONE_HELP
        case 404 if answer.excerpt():
            meaning = "missing", "MAAS does not know this", ""
        case 404:
            meaning = "not_maas", "There is no MAAS at this address", _PLACE_HELP
        case status if 300 <= status < 400:
            target = answer.location[:_EXCERPT]
            to = f"It refers to {target}: give that address." if target.isprintable() and target else ""
            meaning = "redirect", "The call was redirected, which is not followed", to
        case _:
            meaning = "other", "MAAS refused the call", ""
    return meaning


def content(call: str, where: str, answer: MaasAnswer, *, max_values: int) -> object:
    """Returns the JSON of a 2xx response. Raises MaasRefused if another server answered, ResponseRejected if it is cut
    or has too many values.
    """
    if not answer.is_json:
        kind = answer.content_type.partition(";")[0][:60] or "no content type"
        raise MaasRefused(
            f"There is no MAAS at this address: {where} answered {call} with {kind} instead of JSON. {_PLACE_HELP}",
            status=answer.status, reason="not_maas",
        )  # fmt: skip
    try:
        return loads(answer.body, max_values=max_values)
    except TooMuchJson as error:
        raise ResponseRejected(
            f"{where} answered {call} with {error}, which is more than such an answer has."
        ) from error
    except ValueError as error:
        raise ResponseRejected(
            f"{where} answered {call} with {len(answer.body)} bytes that are no JSON. A proxy in front of MAAS may "
            "have cut the answer."
        ) from error


def _rejected_form(found: str, answer: MaasAnswer) -> MaasRefused:
    fields: Mapping[str, object] = {}
    if answer.is_json:
        try:
            loaded = loads(answer.body, max_values=_MAX_FORM_VALUES)
        except ValueError:
            loaded = {}
        fields = loaded if isinstance(loaded, dict) else {}
    messages = {
        str(name)[:60]: [str(each)[:_EXCERPT] for each in (value if isinstance(value, list) else [value])[:5]]
        for name, value in list(fields.items())[:20]
    }
    text = "; ".join(f"{name}: {' '.join(each)}" for name, each in messages.items())
    return MaasRefused(
        f"MAAS rejected the values: {found}{f' {text}' if text else ''}", status=400, reason="form", fields=messages
    )


def _seconds(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS else None
