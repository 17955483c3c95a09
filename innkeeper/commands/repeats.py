"""When a change that got no answer is sent again with its idempotency key, and what the user reads. Pure."""

from __future__ import annotations

from shlex import quote

from attrs import define, field

from common.errors import DeadlineExceeded, InnkeeperError, LinkLost, RequestInProgress

# A region that died holds its requests for at most 30 s; only then it says that the outcome of one is not known.
WITHIN_S = 45.0
_PAUSES_S = (1.0, 4.0, 10.0)  # before each repeat of a request without an answer
_SHORTEST_PAUSE_S = 1.0
_UNDECIDED = (401, 403, 429, 500)  # the region did not look at the key, or has a bug
_NOT_NOW = 503


@define
class Period:
    """The time in which the requests of one command are repeated. It begins when the first of them gets no answer."""

    _ends_at_s: float | None = field(default=None, init=False)

    def begin(self, *, now_s: float) -> None:
        """Does nothing if it has begun."""
        if self._ends_at_s is None:
            self._ends_at_s = now_s + WITHIN_S

    def includes(self, at_s: float) -> bool:
        return self._ends_at_s is None or at_s <= self._ends_at_s


@define(kw_only=True)
class Attempts:
    """A change that is sent until it is answered. `request` is method and path, `key` the one of the whole command."""

    request: str
    key: str
    period: Period
    _failed: int = field(default=0, init=False)
    _lost: int = field(default=0, init=False)
    _is_in_doubt: bool = field(default=False, init=False)

    def pause_after_s(self, error: InnkeeperError, *, now_s: float) -> float | None:
        """Returns how long to wait before the request is sent again; None if `error` ends it.

        What cannot have been sent is not repeated, unless it is a repeat: the region may be restarting.
        """
        self._failed += 1
        self._is_in_doubt |= isinstance(error, LinkLost | DeadlineExceeded | RequestInProgress)
        if not _may_be_repeated(error) and not (error.details.get("unreachable") and self._failed > 1):
            return None
        self.period.begin(now_s=now_s)
        pause_s = _SHORTEST_PAUSE_S
        if not isinstance(error, RequestInProgress):  # the first request will end: only the time is bounded
            if self._lost == len(_PAUSES_S):
                return None
            pause_s = _PAUSES_S[self._lost]
            self._lost += 1
        retry_after_s = error.details.get("retry_after_s")
        if retry_after_s is not None:
            pause_s = max(float(retry_after_s), _SHORTEST_PAUSE_S)
        return pause_s if self.period.includes(now_s + pause_s) else None

    def outcome(self, error: InnkeeperError) -> InnkeeperError:
        """Returns the error that ends the change; how to repeat it is added unless the region has decided."""
        if _is_decision(error) or (self._failed == 1 and not _may_be_repeated(error)):
            return error
        return type(error)(f"{error.message} {self._advice(in_doubt=self._is_in_doubt)}", **error.details)

    def interrupted(self) -> str:
        """Returns the message for a user who stops the command before it has an answer."""
        return f"Interrupted. {self._advice(in_doubt=True)}"

    def _advice(self, *, in_doubt: bool) -> str:
        tried = f" {self._failed} times" if self._failed > 1 else ""
        doubt = " and may have been carried out" if in_doubt else ""
        return (
            f"{self.request} was sent{tried}{doubt}. To repeat the command without doing anything twice, add: "
            f"--idempotency-key {quote(self.key)}"
        )


def note(error: InnkeeperError, pause_s: float) -> str:
    return f"{error.message} The request is sent again in {pause_s:.0f} s, with the same idempotency key."


def _may_be_repeated(error: InnkeeperError) -> bool:
    """Whether no answer came, or the answer says when to repeat the request."""
    if error.details.get("status") == _NOT_NOW:
        return error.details.get("retry_after_s") is not None
    return isinstance(error, LinkLost | DeadlineExceeded | RequestInProgress)


def _is_decision(error: InnkeeperError) -> bool:
    """Whether the region says what became of the request, also of an earlier one with the same key."""
    status = error.details.get("status")
    return status is not None and status not in _UNDECIDED and not _may_be_repeated(error)
