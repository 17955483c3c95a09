"""Reads a running MAAS into an inventory."""

from __future__ import annotations

import asyncio

from attrs import evolve

from common.errors import DeadlineExceeded, ResponseRejected
from common.maas.inventory import Inventory, Origin, SourceKind
from regiond.maas.client import AnswerLimits, MaasClient
from regiond.maas.source import completeness
from regiond.maas.source.answers import Malformed
from regiond.maas.source.calls import answers_of, name_of_installation, version_of, whoami
from regiond.maas.source.inventory import inventory_of

READ_DEADLINE_S = 900.0
# In a process of its own only memory counts. A MAAS lists the power parameters and the VMs of all machines at once.
LIMITS = AnswerLimits(max_bytes=64 * 2**20, max_values=3_000_000)


async def read_with(client: MaasClient, *, deadline_s: float = READ_DEADLINE_S) -> Inventory:
    """Returns all that the MAAS shows to this key, secrets of its VM hosts included. It changes nothing there.

    It takes all time of a process: the region has one for it. Raises MaasRefused (wrong key, too few rights, objects
    hidden from it, no MAAS, one without VM hosts), Unsupported (too old), MaasUnavailable, NotTrusted, LinkLost,
    ResponseRejected or DeadlineExceeded.
    """
    where = client.access.label
    try:
        async with asyncio.timeout(deadline_s):
            version = await version_of(client)
            user = await whoami(client)
            doubts = completeness.check_user(user, version, where)
            answers = await answers_of(client, user, version)
            name = await name_of_installation(client)
        origin = Origin(kind=SourceKind.API, label=where, version=version, name=name)
        inventory = inventory_of(answers, origin)
    except TimeoutError:
        raise DeadlineExceeded(
            f"Reading the MAAS at {where} took more than {deadline_s:.0f} s, after {client.calls} calls. Try again "
            "when it has less to do, or take a dump of its database."
        ) from None
    except Malformed as error:
        raise ResponseRejected(
            f"An answer of the MAAS at {where} does not have the expected form: {error}. Report this with its version "
            "and the answer, without its secrets."
        ) from error
    return evolve(inventory, left_out=(*doubts, *inventory.left_out))
