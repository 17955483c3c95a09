"""Starts a command of a unit as the unit's user, with its environment, folders, credentials and sockets."""

from __future__ import annotations

import fcntl
import grp
import os
import pwd
import re
import shlex
import shutil
import socket
import subprocess
from pathlib import Path

from tests.pages.systemd.unit import Unit


def spawn(unit: Unit, command: str, more: dict[str, str], listeners: list[socket.socket]) -> int:
    """Starts a command of the unit as its user, in an environment of its own. Returns the process."""
    user = pwd.getpwnam(unit.one("User", "root"))
    group = grp.getgrnam(unit.one("Group")).gr_gid if unit.one("Group") else user.pw_gid
    groups = {group, *(grp.getgrnam(name).gr_gid for name in unit.words("SupplementaryGroups"))}
    groups |= set(os.getgrouplist(user.pw_name, group)) if unit.one("User") else set()
    environment = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8",
        "USER": user.pw_name, "HOME": user.pw_dir, **more, **variables(unit),
        **folders(unit, user.pw_uid, group), **credentials(unit, user.pw_uid),
    }  # fmt: skip
    argv = expanded(command.lstrip("-@:+!"), environment)
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        log = os.open(unit.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        high = [fcntl.fcntl(listener, fcntl.F_DUPFD, 100) for listener in listeners]
        for number, ours in enumerate((os.open(os.devnull, os.O_RDONLY), log, log, *high)):
            os.dup2(ours, number)
        os.closerange(3 + len(high), 1024)
        if high:
            environment |= {"LISTEN_FDS": str(len(high)), "LISTEN_PID": str(os.getpid())}
        os.umask(int(unit.one("UMask", "0022"), 8))
        os.setgroups(sorted(groups))
        os.setgid(group)
        os.setuid(user.pw_uid)
        os.chdir(unit.one("WorkingDirectory", "/"))
        os.execve(argv[0], argv, environment)
    except OSError as error:
        os.write(2, f"systemctl: cannot start {argv[0]}: {error}\n".encode())
    os._exit(203)


def expanded(command: str, environment: dict[str, str]) -> list[str]:
    """Returns the words of the command: $NAME is any number of words, ${NAME} part of one."""
    argv = []
    for word in shlex.split(command):
        if re.fullmatch(r"\$\w+", word):
            argv += shlex.split(environment.get(word[1:], ""))
        else:
            argv.append(re.sub(r"\$\{(\w+)\}", lambda match: environment.get(match[1], ""), word))
    return argv


def variables(unit: Unit) -> dict[str, str]:
    found = unit.words("Environment")
    for name in unit.all("EnvironmentFile"):
        if (file := Path(name.lstrip("-"))).exists():
            lines = file.read_text().splitlines()
            found += [" ".join(shlex.split(line)) for line in lines if re.match(r"\w+=", line)]
    return dict(variable.split("=", 1) for variable in found)


def folders(unit: Unit, uid: int, gid: int) -> dict[str, str]:
    """Creates the folders of the service, and returns the variables that name them."""
    named = {}
    for kind, top in (("State", "/var/lib"), ("Runtime", "/run")):
        for name in unit.words(f"{kind}Directory"):
            folder = Path(top, name)
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(int(unit.one(f"{kind}DirectoryMode", "0755"), 8))
            os.chown(folder, uid, gid)
            named[f"{kind.upper()}_DIRECTORY"] = str(folder)
    return named


def credentials(unit: Unit, uid: int) -> dict[str, str]:
    folder = Path("/run/credentials", unit.name)
    shutil.rmtree(folder, ignore_errors=True)
    for pair in (*unit.all("LoadCredential"), *unit.all("LoadCredentialEncrypted")):
        name, _, file = pair.partition(":")
        folder.mkdir(parents=True, mode=0o700, exist_ok=True)
        if pair in unit.all("LoadCredential"):
            shutil.copyfile(file, folder / name)
        elif subprocess.run(
            ["systemd-creds", "decrypt", f"--name={name}", file, str(folder / name)], check=False, timeout=60
        ).returncode:
            raise SystemExit(f"{unit.name}: cannot decrypt {file}")
        (folder / name).chmod(0o400)
        os.chown(folder / name, uid, -1)
        os.chown(folder, uid, -1)
    return {"CREDENTIALS_DIRECTORY": str(folder)} if folder.exists() else {}


def status_of(pid: int) -> int:
    """Waits for the process. Returns its exit status."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
