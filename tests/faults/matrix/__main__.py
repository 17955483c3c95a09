"""`python -m tests.faults.matrix`: reads cells as lines of JSON and writes a result for each.

Ends with its standard input. Logs go to standard error.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from pathlib import Path

from innkeeper.reactor import run  # it installs the reactor, so it comes first


async def _main() -> int:
    from common.serialization import from_dict, to_dict
    from tests.faults.cells import Cell
    from tests.faults.matrix.cell_runs import Sites, try_on
    from tests.faults.matrix.databases import Databases, server
    from tests.faults.matrix.instrumentation import instrumented
    from tests.faults.output import errors_only, results_alone

    errors_only()
    cells = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(cells), sys.stdin)
    with (
        results_alone() as out, server() as dsn, tempfile.TemporaryDirectory(prefix="innkeeper-faults-") as made,
        instrumented() as instrumentation,
    ):  # fmt: skip
        sites = Sites(await Databases.on(dsn), Path(made), instrumentation)
        try:
            async for line in cells:
                result = await try_on(sites, from_dict(json.loads(line), Cell))
                out.write(json.dumps(to_dict(result)) + "\n")
        finally:
            await sites.discard()
    return 0


if __name__ == "__main__":
    sys.exit(run(_main))
