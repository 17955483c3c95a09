"""The account on whose behalf a request runs, and what it may do."""

from __future__ import annotations

from attrs import field, frozen

from common.errors import NotAllowed


@frozen(kw_only=True)
class Caller:
    """An authenticated account. Every room receives it; this module imports none of them.

    `api_key_id` is the key that signed the request; None for RPC clients and commands on the region's computer.
    """

    account_id: int
    username: str
    email: str = ""
    is_admin: bool
    api_key_id: int | None = field(default=None, eq=False)

    def require_admin(self) -> None:
        """Raises NotAllowed if the account is not an administrator."""
        if not self.is_admin:
            raise NotAllowed("This method is reserved for admin users.")
