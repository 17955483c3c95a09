"""A user whose requests wait for one operation, on a host that does not answer."""

from __future__ import annotations

import asyncio
import secrets

from attrs import frozen

from tests.abuse.attack import Attack, Tally, Target
from tests.abuse.callers import repeat
from tests.abuse.http_wire import connected, exchange, read_head, request, stranger

WAIT_S = 6.0  # what takes longer waits for the operation: refusals come after half a second


@frozen(kw_only=True)
class WaitingRequests:
    """More connections than the region serves, all with one idempotency key: each waits for the first one's outcome."""

    name: str = "waiting-requests"
    what: str = "2,060 requests of a user that wait for the same operation, from 20 addresses"
    connections: int = 2060
    addresses: int = 20
    served: int = 200  # as many as an account has: each costs as much as any request, so they come one after the other
    served_per_s: int = 50
    opened_per_s: int = 250  # of the others
    reopened_after_s: float = 15.0

    async def run(self, target: Target, tally: Tally) -> None:
        key = secrets.token_hex(8)

        def power_off(preference: str) -> bytes:
            headers = {"Idempotency-Key": key, "Prefer": preference}
            return request(
                "POST", f"machines/{target.user_machine}/?op=power_off", key=target.user_key, headers=headers
            )

        await exchange(target.http_port, power_off("respond-async"), address=stranger(0, self.addresses))

        async def hold(number: int) -> None:
            if number < self.connections:
                more = max(0, number - self.served)
                await asyncio.sleep((number - more) / self.served_per_s + more / self.opened_per_s)
            async with connected(target.http_port, stranger(number, self.addresses)) as (reader, writer):
                writer.write(power_off("wait=120"))
                try:
                    async with asyncio.timeout(WAIT_S):
                        tally.count(await read_head(reader))
                except TimeoutError:
                    tally.count("opened")
                    await reader.read()
            await asyncio.sleep(self.reopened_after_s)

        await repeat(self.connections, hold, tally)


ATTACKS: tuple[Attack, ...] = (WaitingRequests(),)
