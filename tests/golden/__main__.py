"""`python -m tests.golden`: compares all golden files; with `--write`, writes them."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from development.generated.generated_section import CHECKOUT
from tests.golden.files import FOLDER, WRITES


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the files instead of comparing them")
    writes = {WRITES: "1"} if parser.parse_args().write else {}
    command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "--show-capture=no", str(FOLDER)]
    return subprocess.run(command, cwd=CHECKOUT, env={**os.environ, **writes}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
