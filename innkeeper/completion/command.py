"""`innkeeper completion SHELL` prints a script, which calls `innkeeper __complete` for the candidates.

Whatever fails, `__complete` prints nothing about it and ends within its deadline: it runs at a key press.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TextIO

from innkeeper.api_description import Description, read_description
from innkeeper.arguments import Usage
from innkeeper.completion.candidates import SHELLS, Candidate, Completion, Known, complete, matching
from innkeeper.completion.scripts import SCRIPTS
from innkeeper.output.text import printable
from innkeeper.profiles import Profile, Profiles

HIDDEN = "__complete"
DEADLINE_S = 0.8  # from here; starting Python takes the rest of the second


def script(words: Sequence[str]) -> str:
    """Raises Usage for another shell."""
    if len(words) != 1 or words[0] not in SCRIPTS:
        raise Usage(f"usage: innkeeper completion {'|'.join(SHELLS)}")
    return SCRIPTS[words[0]]


def print_candidates(argv: Sequence[str], profiles: Profiles, environment: Mapping[str, str], out: TextIO) -> None:
    """Prints each candidate and, after a tab, what it is. `argv`: `line LINE` or `words WORD…`."""
    until = time.monotonic() + DEADLINE_S
    try:
        words = list(argv[1:]) if argv[0] == "words" else split_line(argv[1])
        found = _candidates(words or [""], profiles, environment, until)
        out.writelines(f"{one.word}\t{printable(one.about)}".rstrip() + "\n" for one in found)
    except Exception:  # noqa: BLE001  # an error must not appear in the prompt
        return


def split_line(line: str) -> list[str]:
    """The words of a line up to the cursor, without the program; the last one may be empty or an unclosed quote."""
    for closing in ("", "'", '"'):
        try:
            words = shlex.split(line + closing)
        except ValueError:
            continue
        ended = not closing and line[-1:].isspace()
        return [*words[1:], ""] if ended or len(words) < 2 else words[1:]
    return line.split()[1:] or [""]


def _candidates(
    words: Sequence[str], profiles: Profiles, environment: Mapping[str, str], until: float
) -> Iterable[Candidate]:
    from innkeeper.completion.objects import objects_of  # noqa: PLC0415  # loads the HTTP client, often not needed

    stored = profiles.all()
    known = Known(
        profiles=tuple(sorted(stored)), default=profiles.default(), description=lambda name: _description(stored, name)
    )
    found = complete(words, known)
    candidates = list(found.candidates)
    if found.objects is not None and found.profile in stored:
        deadline_s = max(0.1, until - time.monotonic())
        listed = objects_of(stored[found.profile], found.objects, environment, deadline_s=deadline_s)
        candidates[:0] = [one for one in listed if one.word not in found.without]
    return matching([*candidates, *_files(found, words[-1])], words[-1])


def _description(stored: Mapping[str, Profile], name: str) -> Description | None:
    profile = stored.get(name)
    return read_description(profile.description) if profile is not None and profile.description else None


def _files(found: Completion, current: str) -> list[Candidate]:
    prefix = found.files_prefix
    if prefix is None or not current.startswith(prefix):
        return []
    folder, slash, _ = current.removeprefix(prefix).rpartition("/")
    listed = sorted(Path(folder + slash if slash else ".").expanduser().iterdir())
    return [
        Candidate(word=f"{prefix}{folder}{slash}{path.name}{'/' if path.is_dir() else ''}")
        for path in listed[:1000]
        if not path.name.startswith(".")
    ]
