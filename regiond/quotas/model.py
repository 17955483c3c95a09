"""Quotas: limits, what counts for them, and the decision which charges fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attrs import asdict, field, frozen

RESOURCES = ("machines", "cores", "memory_mib", "storage_bytes")
_GB = 10**9
# Some products make disks up to 8 KiB larger than asked for: disks of 10 GB each fill a quota of whole GB exactly.
_ROUNDED_PER_GB = 8192


@frozen(kw_only=True)
class Holdings:
    """The amounts that machines hold, or would hold."""

    machines: int = 0
    cores: int = 0
    memory_mib: int = 0
    storage_bytes: int = 0

    def __add__(self, other: Holdings) -> Holdings:
        return Holdings(**{name: getattr(self, name) + getattr(other, name) for name in RESOURCES})

    def __sub__(self, other: Holdings) -> Holdings:
        return Holdings(**{name: getattr(self, name) - getattr(other, name) for name in RESOURCES})


@frozen(kw_only=True)
class Limits:
    """None: no limit."""

    machines: int | None = None
    cores: int | None = None
    memory_mib: int | None = None
    storage_bytes: int | None = None

    def changed(self, limits: Mapping[str, int | None]) -> Limits:
        """Returns these limits with those of the mapping in their place."""
        return Limits(**{**asdict(self), **limits})


@frozen(kw_only=True)
class Charge:
    """The amounts that an account and a resource pool come to hold; None: nothing changes for the quota of that one."""

    account_id: int | None = None
    pool_id: int | None = None
    asked: Holdings


@frozen(kw_only=True)
class Quota:
    """The limits of a user or of a resource pool, and what their machines hold."""

    id: int
    account_id: int | None = None
    username: str | None = None
    pool_id: int | None = None
    pool: str | None = None
    limits: Limits
    used: Holdings = field(factory=Holdings)

    @property
    def subject(self) -> str:
        """Such as `user ann` or `pool lab`."""
        return f"pool {self.pool}" if self.username is None else f"user {self.username}"

    def applies_to(self, charge: Charge) -> bool:
        if self.account_id is not None:
            return charge.account_id == self.account_id
        return charge.pool_id == self.pool_id

    def refusal(self, used: Holdings, asked: Holdings) -> str | None:
        """Returns why `asked` exceeds a limit when `used` is held, in numbers; None if it fits.

        Disks may exceed it by what a product rounds up, if they have 1 GB or more.
        """
        for name in RESOURCES:
            limit, held, more = getattr(self.limits, name), getattr(used, name), getattr(asked, name)
            if limit is not None and more > 0 and held + more > limit + _tolerance(name, limit):
                return (
                    f"quota of {self.subject}: {_amount(name, limit)}, {_number(name, held)} used, "
                    f"{_number(name, more)} asked"
                )
        return None


def refusals(quotas: Iterable[Quota], charges: Sequence[Charge]) -> list[str | None]:
    """Returns for each charge why a quota refuses it; None: it fits beside the charges before it that fit."""
    used = {quota: quota.used for quota in quotas}
    reasons: list[str | None] = []
    for charge in charges:
        own = [quota for quota in used if quota.applies_to(charge)]
        reason = next(filter(None, (quota.refusal(used[quota], charge.asked) for quota in own)), None)
        if reason is None:
            used |= {quota: used[quota] + charge.asked for quota in own}
        reasons.append(reason)
    return reasons


def _tolerance(name: str, limit: int) -> int:
    return limit // _GB * _ROUNDED_PER_GB if name == "storage_bytes" else 0


def _amount(name: str, limit: int) -> str:
    if name in {"machines", "cores"}:
        return f"{limit} {name[:-1] if limit == 1 else name}"
    return f"{_number(name, limit)} of {'memory' if name == 'memory_mib' else 'storage'}"


def _number(name: str, value: int) -> str:
    if name == "memory_mib":
        return f"{value} MiB"
    return f"{value / _GB:.6g} GB" if name == "storage_bytes" else str(value)
