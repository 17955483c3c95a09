"""The plan of a deletion, for dry runs: which records it deletes and what else changes. Pure."""

from __future__ import annotations

from attrs import frozen


@frozen(kw_only=True)
class AffectedRecord:
    """A record of the region, such as a subnet. `kind` is a noun for people; `id` identifies it in the API."""

    kind: str
    id: str
    name: str


@frozen(kw_only=True)
class DeletionPlan:
    """The plan. `name` is the name of the object to delete; `effects` are sentences on other changes.

    Nothing on a host is deleted.
    """

    name: str
    deleted: tuple[AffectedRecord, ...] = ()
    kept: tuple[AffectedRecord, ...] = ()
    effects: tuple[str, ...] = ()
