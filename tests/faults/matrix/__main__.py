"""`python -m tests.faults.matrix`: tries each cell that is a line of JSON on standard input; answers with its result.

It ends with its input. What it does not answer is told on standard error.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from pathlib import Path

from innkeeper.running import run  # it installs the reactor, so it comes first


async def _main() -> int:
    from common.wire import from_plain, to_plain
    from tests.faults.cells import Cell
    from tests.faults.matrix.databases import Databases, server
    from tests.faults.matrix.newcomers import newcomers
    from tests.faults.matrix.running import Inns, try_in
    from tests.faults.matrix.seams import seams
    from tests.faults.output import errors_only, results_alone

    errors_only()
    cells = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(cells), sys.stdin)
    with (
        results_alone() as out, server() as dsn, tempfile.TemporaryDirectory(prefix="innkeeper-faults-") as made,
        seams() as watched, newcomers(watched),
    ):  # fmt: skip
        inns = Inns(await Databases.on(dsn), Path(made), watched)
        try:
            async for line in cells:
                result = await try_in(inns, from_plain(json.loads(line), Cell))
                out.write(json.dumps(to_plain(result)) + "\n")
        finally:
            await inns.leave()
    return 0


if __name__ == "__main__":
    sys.exit(run(_main))
