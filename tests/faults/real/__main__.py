"""`python -m tests.faults.real [--only PREFIX] [--seed N] [--list]`: writes a line of JSON for each cell."""

from __future__ import annotations

import argparse
import json
import sys

from innkeeper.reactor import run  # it installs the reactor, so it comes first


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.faults.real", description=__doc__)
    parser.add_argument("--only", action="append", default=[], help="prefix of cell names; can be repeated")
    parser.add_argument("--done", action="append", default=[], help="name of a cell to omit; can be repeated")
    parser.add_argument("--seed", type=int, default=0, help="decides the order")
    parser.add_argument("--list", action="store_true", help="list the cells and try none")
    options = parser.parse_args()
    return run(lambda: _main(options))


async def _main(options: argparse.Namespace) -> int:
    from common.serialization import to_dict
    from tests.faults.cells import Cell
    from tests.faults.output import results_alone
    from tests.faults.real import cell_runs

    def wanted(cell: Cell) -> bool:
        return cell.name not in options.done and (not options.only or cell.name.startswith(tuple(options.only)))

    if options.list:
        for cell in cell_runs.cells():
            if wanted(cell):
                sys.stdout.write(f"{cell.name}\n")
        return 0
    red = False
    with results_alone() as out:
        async for result in cell_runs.results(wanted, options.seed):
            red = red or bool(result.faults)
            out.write(json.dumps(to_dict(result)) + "\n")
    return 1 if red else 0


if __name__ == "__main__":
    sys.exit(main())
