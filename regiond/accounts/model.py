"""Who asks."""

from __future__ import annotations

from attrs import frozen

from common.errors import NotAllowed


@frozen(kw_only=True)
class Caller:
    """The account a request is made for, as far as rules need it."""

    account_id: int
    username: str
    email: str = ""
    is_admin: bool

    def require_admin(self) -> None:
        if not self.is_admin:
            raise NotAllowed("This method is reserved for admin users.")
