"""`python -m tests.golden.pages FOLDER`: writes every web page there, without what is new in each run.

python -m tests.golden.pages /tmp/before    # on one commit, and /tmp/after on the other
diff -r /tmp/before /tmp/after
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from development.generated.generated_section import CHECKOUT

FOLDER = "INNKEEPER_GOLDEN_PAGES"  # an environment variable of `write_pages.py`
_WRITER = "tests/golden/write_pages.py"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.golden.pages", description=__doc__)
    parser.add_argument("folder", type=Path, help="a folder that does not exist or is empty")
    folder = parser.parse_args().folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        parser.error(f"{folder} is not empty")
    command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "--show-capture=no", _WRITER]
    return subprocess.run(command, cwd=CHECKOUT, env={**os.environ, FOLDER: str(folder)}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
