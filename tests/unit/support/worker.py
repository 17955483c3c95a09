"""A program for `work_process`, which does what its order says."""

from __future__ import annotations

import json
import os
import sys
import threading

from common.process.work_process import MAX_LINE_BYTES, read_order


def main() -> None:
    wanted = read_order(sys.stdin.buffer)["wanted"]
    match wanted:
        case "length":
            _say(len(sys.stdin.buffer.read()))
        case "environment":
            _say(json.dumps(sorted(os.environ)))
        case "memory":
            _say(len(bytes(2**30)))
        case "cpu":
            while True:
                pass
        case "line":
            _say("x" * 2 * MAX_LINE_BYTES)
        case "silence":
            threading.Event().wait()


def _say(found: object) -> None:
    sys.stdout.write(f"{found}\n")


if __name__ == "__main__":
    main()
