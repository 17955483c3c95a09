"""The process of the attackers: `python -m tests.abuse.worker NAME SECONDS` with a Target as JSON on standard input.

Prints `begun` when the attack begins, and the tally as JSON when it has ended.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import resource
import sys

from common.serialization import from_dict
from tests.abuse.attack import Attack, Tally, Target
from tests.abuse.attacks import attack_named

BEGUN = "begun"
LESS_IMPORTANT = 10  # attackers usually have computers of their own


async def attack_for(seconds: float, attack: Attack, target: Target) -> Tally:
    """Raises what the attack raises, but for its cancellation after so many seconds."""
    tally = Tally()
    running = asyncio.create_task(attack.run(target, tally))
    await asyncio.wait([running], timeout=seconds)
    running.cancel()
    await asyncio.wait([running])
    if not running.cancelled() and (error := running.exception()) is not None:
        raise error
    return tally


def main() -> None:
    name, seconds = sys.argv[1], float(sys.argv[2])
    target = from_dict(json.load(sys.stdin), Target)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    os.nice(LESS_IMPORTANT)
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # it reports each connection that is lost while it is cut
    print(BEGUN, flush=True)
    tally = asyncio.run(attack_for(seconds, attack_named(name), target))
    print(json.dumps(tally.plain()))


if __name__ == "__main__":
    main()
