"""`./dev test`: the first tier; with `deep [AREA ...]` the other areas; else pytest with these arguments."""

from __future__ import annotations

import argparse
import sys

from tests.tiers import deep, first, runs, stress
from tests.tiers.areas import DEEP

_EPILOG = "Areas of the deep tier: " + "; ".join(f"{area.name} ({area.title})" for area in DEEP)


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./dev test", description=__doc__, epilog=_EPILOG)
    parser.add_argument("--repeat", type=int, metavar="N", help="run the tests, or the first tier, N times")
    parser.add_argument("--stress", action="store_true", help="with --repeat: beside busy processes, with freezes")
    parser.add_argument("--again", action="store_true", help="with deep: also what has passed at this commit")
    parser.add_argument("words", nargs="*", metavar="ARG", help="`deep` and areas, or arguments of pytest")
    chosen, rest = parser.parse_known_args(words)
    match chosen.words:
        case _ if chosen.repeat:
            return stress.repeat(chosen.repeat, [*chosen.words, *rest], stressed=chosen.stress)
        case ["deep", *areas] if not rest:
            return deep.deep(areas, again=chosen.again)
        case [] if not rest:
            return first.first()
    return runs.some(words)


sys.exit(main(sys.argv[1:]))
