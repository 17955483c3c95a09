"""The form of a request whose session had ended, carried through the login to be sent again. Pure.

Another site can make a browser send a form without a session. Such a form is not carried: after the login one click
would send it. So both the origin of the request and the CSRF token of the ended session must be right; the cookie of a
session that ended by time or was ended by an administrator is still in the browser. It also names the account, so that
the form is offered to nobody else who logs in at that browser.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qs, urlencode

from attrs import field, frozen

from regiond.accounts.csrf import csrf_secret, proves
from regiond.accounts.sessions import account_of
from regiond.api.pipeline.authentication import ANONYMOUS_BODY_BYTES
from regiond.ui.web_request import UI, WebRequest, own_address

_SECRETS = ("password", "repeated", "current_password", "power_pass", "key")
_HIDDEN = re.compile(r"once|was-.*")  # fields that nobody typed
_FOR_LOGIN_BYTES = 4 * 1024  # of the body that a stranger may send: user name, password, addresses
MAX_KEPT_BYTES = ANONYMOUS_BODY_BYTES - _FOR_LOGIN_BYTES


@frozen(kw_only=True)
class KeptForm:
    """`address` is where the form was sent to; empty if there is none. `text` has its fields, as of a query.

    `account` is the id of the account whose page it was.
    """

    address: str = ""
    account: str = ""
    text: str = field(default="", repr=False)

    @property
    def fields(self) -> Mapping[str, Sequence[str]]:
        """All fields but the CSRF token, which the new session replaces."""
        found = parse_qs(self.text, keep_blank_values=True, max_num_fields=10_000)
        return {name: tuple(values) for name, values in found.items() if name != "csrf"}

    @property
    def shown(self) -> Mapping[str, str]:
        """The fields that were typed or chosen, for a reader."""
        return {
            name.replace("_", " ").replace("-", " "): ", ".join(values)
            for name, values in self.fields.items()
            if not _HIDDEN.fullmatch(name) and any(values)
        }


NO_FORM = KeptForm()


def kept_form(request: WebRequest) -> KeptForm:
    """Returns the form of a request whose session has ended, if our own page sent it and a page may have it again."""
    form, cookie = repeatable(request.form), request.cookie
    if not form or cookie is None or request.origin_header != request.origin:
        return NO_FORM
    if not proves(request.given("csrf"), csrf_secret(cookie)):
        return NO_FORM
    pairs = [(name, value) for name, values in form.items() if name != "csrf" for value in values]
    text = urlencode(pairs)
    if len(urlencode({"kept": text})) > MAX_KEPT_BYTES:
        return NO_FORM
    return KeptForm(address=request.url(), account=str(account_of(cookie)), text=text)


def carried_form(request: WebRequest) -> KeptForm:
    """Returns the form that a login carries. The login has checked that our own page sent it."""
    address = own_address(request.given("kept_for"))
    if not address:
        return NO_FORM
    return KeptForm(address=address, account=request.given("kept_of"), text=request.given("kept"))


def repeatable(form: Mapping[str, Sequence[str]]) -> Mapping[str, Sequence[str]]:
    """The fields that a page may carry, to be sent again: none of a form with a secret, which no page has twice."""
    return {} if any(text for name in _SECRETS for text in form.get(name, ())) else form


def page_of(request: WebRequest) -> str:
    """The address of our page on which the form was, as the browser reports it; empty if it does not."""
    ours, _, path = request.referer.partition(UI)
    return own_address(UI + path) if ours == request.origin else ""
