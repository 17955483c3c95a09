"""The process that reads a MAAS, or the file of an inventory: its whole program."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any, BinaryIO

from common.errors import InnkeeperError, ResponseRejected
from common.maas.inventory import Inventory
from common.process import daemon
from common.process.logging import configure_logging
from common.process.work_process import read_order
from common.serialization import from_dict
from regiond.maas.access import MaasAccess
from regiond.maas.imports.inventory_file import Packing, lines_of, make_plan_possible, unpack

END, ERROR = "end", "error"


def main() -> int:
    order, target = read_order(sys.stdin.buffer), sys.stdout.buffer
    configure_logging(level="warning")
    try:
        _work(order, target)
    except InnkeeperError as error:
        _answer(target, ERROR, {"code": error.code, "message": error.message, "details": error.details})
    except MemoryError:
        text = "What it has takes more memory than the region gives to one reading. A dump of its database takes less."
        _answer(target, ERROR, {"code": ResponseRejected.code, "message": text, "details": {}})
    return daemon.OK


def _work(order: Mapping[str, Any], target: BinaryIO) -> None:
    if "access" not in order:
        inventory = unpack(sys.stdin.buffer.read())
        make_plan_possible(inventory)
        target.writelines(lines_of(inventory))
        _answer(target, END, 0)
        return
    inventory = _read(from_dict(order["access"], MaasAccess))
    make_plan_possible(inventory)
    packing = Packing()
    target.writelines(lines_of(inventory, packing))
    packed = packing.finish()
    _answer(target, END, len(packed))
    target.write(packed)
    target.flush()


def _read(access: MaasAccess) -> Inventory:
    """Returns what the MAAS has. Raises what `read_with` does."""
    from regiond.maas.client import MaasClient  # noqa: PLC0415  # it and what it imports cost 0.15 s, which files save
    from regiond.maas.source.service import LIMITS, read_with  # noqa: PLC0415

    found: list[Inventory] = []
    errors: list[Exception] = []

    async def read() -> None:
        try:
            found.append(await read_with(MaasClient(access, limits=LIMITS)))
        except (InnkeeperError, MemoryError) as error:
            errors.append(error)

    daemon.install_reactor()
    daemon.run(read())
    for error in errors:
        raise error
    return found[0]


def _answer(target: BinaryIO, kind: str, value: object) -> None:
    target.write(json.dumps([kind, value], default=str).encode() + b"\n")
    target.flush()


if __name__ == "__main__":
    daemon.hard_exit(main())
