"""Reads a running MAAS into an inventory."""

from __future__ import annotations

import asyncio

from attrs import evolve

from common.errors import DeadlineExceeded, ResponseRejected
from common.maas.inventory import Inventory, Origin, SourceKind
from regiond.maas.access import MaasAccess
from regiond.maas.client import MaasClient
from regiond.maas.source import completeness
from regiond.maas.source.answers import Answers, Malformed
from regiond.maas.source.calls import answers_of, name_of_installation, version_of, whoami
from regiond.maas.source.inventory import inventory_of

READ_DEADLINE_S = 900.0


async def read_maas(access: MaasAccess, *, deadline_s: float = READ_DEADLINE_S) -> Inventory:
    """Returns all that the MAAS shows to this key, secrets of its VM hosts included. It changes nothing there.

    Raises MaasRefused (wrong key, too few rights, objects hidden from it, no MAAS, one without VM hosts), Unsupported
    (too old), MaasUnavailable, NotTrusted, LinkLost, ResponseRejected or DeadlineExceeded.
    """
    return await read_with(MaasClient(access), deadline_s=deadline_s)


async def read_with(client: MaasClient, *, deadline_s: float = READ_DEADLINE_S) -> Inventory:
    """`read_maas` with a client that counts the calls."""
    where = client.access.label
    try:
        async with asyncio.timeout(deadline_s):
            version = await version_of(client)
            user = await whoami(client)
            doubts = completeness.check_user(user, version, where)
            answers = await answers_of(client, user, version)
            name = await name_of_installation(client)
        origin = Origin(kind=SourceKind.API, label=where, version=version, name=name)
        inventory = await asyncio.to_thread(_converted, answers, origin)
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


def _converted(answers: Answers, origin: Origin) -> Inventory:
    return inventory_of(answers, origin)
