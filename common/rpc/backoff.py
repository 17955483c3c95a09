"""The delays between attempts to make a link again."""

from __future__ import annotations

from attrs import frozen


@frozen(kw_only=True)
class Backoff:
    """The delays between connection attempts; `rejected_s` applies if the region rejected this end."""

    first_s: float = 0.5
    longest_s: float = 30.0
    rejected_s: float = 60.0
    steady_s: float = 10.0  # a link that lasted this long resets the delay

    def delay_s(self, failures: int, *, rejected: bool, chance: float) -> float:
        """Returns 50 to 100 % of the maximum delay after this many failures in a row; `chance` is 0 to 1."""
        longest = self.rejected_s if rejected else min(self.longest_s, self.first_s * 2 ** min(failures, 20))
        return longest * (0.5 + chance / 2)
