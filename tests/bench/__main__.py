"""The benchmarks: what design §11 asks for, what this machine gives.

python -m tests.bench [--quick] [claims] [compose] [dry] [lists] [memory] [refresh]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from common import daemon
from common.daemon import install_reactor
from common.logging import configure_logging

if TYPE_CHECKING:
    from tests.bench.measuring import Line

FIGURES = ("claims", "compose", "dry", "lists", "memory", "refresh")


async def measure(names: list[str], *, quick: bool) -> None:
    """Each figure in turn, on one database server; the table at the end."""
    from tests.bench.measuring import Bench, durable_server, table, the_machine

    lines: list[Line] = []
    with durable_server() as dsn, tempfile.TemporaryDirectory(prefix="innkeeper-bench-") as made:
        machine = await the_machine(dsn)
        bench = Bench(folder=Path(made), server_dsn=dsn, quick=quick)
        for name in names:
            print(f"… {name}", file=sys.stderr, flush=True)
            lines += await import_module(f"tests.bench.{name}").measure(bench)
    print(machine, "quick: small worlds, few tries" if quick else "", table(lines), sep="\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="./dev bench", description="Measure what the design asks for.")
    parser.add_argument(
        "names", nargs="*", metavar="FIGURE", help=f"which: {', '.join(FIGURES)}; all when none is named"
    )
    parser.add_argument("--quick", action="store_true", help="smaller worlds and fewer tries: minutes become seconds")
    asked = parser.parse_args()
    unknown = set(asked.names) - set(FIGURES)
    if unknown:
        parser.error(f"there is no figure {', '.join(sorted(unknown))}")
    install_reactor()
    configure_logging(level="warning")
    sys.exit(daemon.run(measure(asked.names or list(FIGURES), quick=asked.quick), when_interrupted=1))


if __name__ == "__main__":
    main()
