"""`python -m tests.faults.real [--only BEGINNING] [--seed N] [--list]`: a line of JSON for each cell, as it ends."""

from __future__ import annotations

import argparse
import json
import sys

from innkeeper.running import run  # it installs the reactor, so it comes first


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.faults.real", description=__doc__)
    parser.add_argument(
        "--only", action="append", default=[], help="cells whose name begins with this; may be repeated"
    )
    parser.add_argument("--done", action="append", default=[], help="a cell that is left out; may be repeated")
    parser.add_argument("--seed", type=int, default=0, help="chooses the order")
    parser.add_argument("--list", action="store_true", help="name the cells, and try none")
    asked = parser.parse_args()
    return run(lambda: _main(asked))


async def _main(asked: argparse.Namespace) -> int:
    from common.wire import to_plain
    from tests.faults.cells import Cell
    from tests.faults.output import results_alone
    from tests.faults.real import running

    def wanted(cell: Cell) -> bool:
        return cell.name not in asked.done and (not asked.only or cell.name.startswith(tuple(asked.only)))

    if asked.list:
        for cell in running.names():
            if wanted(cell):
                sys.stdout.write(f"{cell.name}\n")
        return 0
    red = False
    with results_alone() as out:
        async for result in running.results(wanted, asked.seed):
            red = red or bool(result.faults)
            out.write(json.dumps(to_plain(result)) + "\n")
    return 1 if red else 0


if __name__ == "__main__":
    sys.exit(main())
