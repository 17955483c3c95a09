"""The commands. The first argument is the program's name."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

from tests.pages.systemd.service import generate, reload, restart, restart_if_active, start, stop
from tests.pages.systemd.unit import LOGS, STATES, Unit

REAL = "/usr/bin/systemctl.systemd"  # Debian's; it can change the links of units where no systemd runs
ON_FILES = ("enable", "disable", "is-enabled", "preset")
ON_DEMAND = ("dbus.service", "polkit.service")  # D-Bus would have systemd start these


def main(words: list[str]) -> int:
    options = {word for word in words if word.startswith("-")}
    action, *names = [word for word in words if not word.startswith("-")] or ["list-units"]
    STATES.mkdir(exist_ok=True)
    LOGS.mkdir(exist_ok=True)
    found = [named(name) for name in names]
    if action == "daemon-reload":
        generate()
    elif action in ACTIONS:
        for unit in map(Unit, ON_DEMAND if action in ("start", "restart") else ()):
            if unit.settings is not None:
                start(unit)
        for unit in found:
            ACTIONS[action](unit)
    elif action in ANSWERS:
        answers = [ANSWERS[action](unit) for unit in found]
        if "--quiet" not in options and "-q" not in options:
            print("\n".join(answer for answer, _ in answers))
        return max(status for _, status in answers)
    elif action in ON_FILES:
        done = subprocess.run([REAL, "--root=/", *(word for word in words if word != "--now")], check=False)
        if done.returncode == 0 and "--now" in options:
            for unit in found:
                start(unit) if action == "enable" else stop(unit)
        return done.returncode
    return 0  # packages ask for more, and take no answer for "none"


def status(unit: Unit) -> tuple[str, int]:
    state, code = is_active(unit)
    last = "\n".join(unit.log.read_text().splitlines()[-10:]) if unit.log.exists() else ""
    main = f"   Main PID: {unit.pid}\n" if unit.pid else ""
    return f"* {unit.name} - {unit.one('Description')}\n     Active: {state}\n{main}\n{last}", code


def is_active(unit: Unit) -> tuple[str, int]:
    return ("inactive", 3) if unit.pid is None else ("active", 0)


ACTIONS: dict[str, Callable[[Unit], None]] = {
    "start": start, "stop": stop, "restart": restart, "reload": reload, "try-restart": restart_if_active,
}  # fmt: skip
ANSWERS = {"status": status, "is-active": is_active}


def named(name: str) -> Unit:
    return Unit(name if "." in name else f"{name}.service")


if __name__ == "__main__":
    program, *words = sys.argv[1:]
    if program == "journalctl":
        print(named(words[words.index("-u") + 1]).log.read_text(), end="")
    else:
        raise SystemExit(main(words))
