"""Entry point of the `innkeeper` command and of `python -m innkeeper`."""

from __future__ import annotations

import os
import sys

from innkeeper.command import main as command


def main() -> None:
    sys.exit(command(sys.argv[1:], os.environ))


if __name__ == "__main__":
    main()
