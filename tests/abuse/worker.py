"""The process of the attackers: `python -m tests.abuse.worker NAME SECONDS` with a Target as JSON on standard input.

Prints `begun` when the attack begins, `ended` when its time is over, and the tally as JSON when it has cleaned up.
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
from tests.support.waiting import eventually

BEGUN, ENDED = "begun", "ended"
MORE_S = 60.0  # until an attack on a busy machine has its first answer
LESS_IMPORTANT = 10  # attackers usually have computers of their own


async def attack_for(seconds: float, attack: Attack, target: Target) -> Tally:
    """Attacks for so many seconds, and longer if nothing has been answered by then. Raises what the attack raises."""
    tally = Tally()
    running = asyncio.create_task(attack.run(target, tally))
    await asyncio.wait([running], timeout=seconds)
    if not tally.answers:
        answered = asyncio.create_task(eventually(lambda: tally.answers, deadline_s=MORE_S))
        await asyncio.wait([running, answered], return_when=asyncio.FIRST_COMPLETED)
        answered.cancel()
    print(ENDED, flush=True)
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
