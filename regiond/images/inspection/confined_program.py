"""A separate program: drops rights, then executes the program that reads untrusted content.

    python -I confined_program.py [--read PATH | --write PATH | --run PATH]… -- COMMAND…
    python -I confined_program.py --report

Afterwards the process can open only the files that are named (`--write` for reading too) and the files of which
programs consist; it makes no socket, reaches no other process and changes no owner, mode or limit. It imports nothing
of Innkeeper. Restrictions that the kernel does not support are left out; `--report` prints them as a JSON list.
docs/decisions/0045 has the reasons.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import struct
import sys
from collections.abc import Iterable, Mapping, Sequence

FILES, NETWORK = "files", "network and processes"
# The files of which programs consist. None of them is secret, and only root can change them.
_PROGRAMS = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc/ld.so.cache")
_DEVICES = ("/dev/null",)

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # Landlock's calls; the same on every architecture
_ABI_VERSION = 1
_BENEATH = 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = (1 << bit for bit in range(4))
_TRUNCATE, _TRUNCATE_ABI = 1 << 14, 3
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}  # the number of rights by version; 16 in later versions
_MOST_FILE_RIGHTS = 16
_NETWORK_ABI, _SCOPE_ABI = 4, 6
_TCP, _SCOPES = 0b11, 0b11

_SET_NO_NEW_PRIVS, _SET_SECCOMP, _CAPBSET_DROP = 38, 22, 24
_SECCOMP_FILTER = 2
_LAST_CAPABILITY = 63
_CAPABILITY_VERSION_3 = 0x20080522

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _FAIL, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_EPERM, _ENOSYS = 1, 38
_NUMBER_AT, _ARCHITECTURE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16
_NEW_NAMESPACES = 0x7E020000  # flags of clone
_X32 = 0x40000000

# The same numbers everywhere: pidfd_send_signal, io_uring_*, pidfd_open, pidfd_getfd, fchmodat2, setxattrat,
# removexattrat. A ring of io_uring makes sockets without the call `socket`.
_NEW_CALLS = (424, 425, 426, 427, 434, 438, 452, 463, 466)
_CLONE3 = 435
_CALLS: Mapping[str, tuple[int, Mapping[str, int], Iterable[int]]] = {
    # The architecture's number, the calls that depend on an argument, and those that fail.
    "x86_64": (
        0xC000003E,
        {"clone": 56, "prlimit64": 302, "tgkill": 234},
        (
            41, 42, 49, 50, 53,  # socket, connect, bind, listen, socketpair
            62, 200, 129, 297,  # kill, tkill, rt_sigqueueinfo, rt_tgsigqueueinfo
            101, 310, 311,  # ptrace, process_vm_readv, process_vm_writev
            76, 90, 91, 268, 92, 93, 94, 260,  # truncate, chmod, fchmod, fchmodat, chown, fchown, lchown, fchownat
            188, 189, 190, 197, 198, 199,  # setxattr … fremovexattr
            132, 235, 261, 280,  # utime, utimes, futimesat, utimensat
            248, 249, 250, 272, 308, 165, 321, 298, 323,  # keys, unshare, setns, mount, bpf, perf, userfaultfd
        ),
    ),
    "aarch64": (
        0xC00000B7,
        {"clone": 220, "prlimit64": 261, "tgkill": 131},
        (
            198, 203, 200, 201, 199,
            129, 130, 138, 240,
            117, 270, 271,
            45, 52, 53, 54, 55,
            5, 6, 7, 14, 15, 16,
            88,
            217, 218, 219, 97, 268, 40, 280, 241, 282,
        ),
    ),
}  # fmt: skip

_libc = ctypes.CDLL(None, use_errno=True)


def confine(read: Iterable[str], write: Iterable[str], run: Iterable[str]) -> list[str]:
    """Drops rights of this process and of the program that it executes; returns the rights that it could not drop."""
    _prctl(_SET_NO_NEW_PRIVS, 1)
    _drop_capabilities()
    missing = []
    if not _restrict_files(read, write, run):
        missing.append(FILES)
    if not _filter_calls():
        missing.append(NETWORK)
    return missing


def landlock_version() -> int:
    """Returns the version of Landlock's interface; 0 if the kernel has none, or a filter of a service forbids it."""
    return max(0, int(_libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _ABI_VERSION)))


def _restrict_files(read: Iterable[str], write: Iterable[str], run: Iterable[str]) -> bool:
    version = landlock_version()
    if not version:
        return False
    attributes = [(1 << _FILE_RIGHTS.get(version, _MOST_FILE_RIGHTS)) - 1]
    if version >= _NETWORK_ABI:
        attributes.append(_TCP)
    if version >= _SCOPE_ABI:
        attributes.append(_SCOPES)
    packed = struct.pack(f"={len(attributes)}Q", *attributes)
    ruleset = int(_libc.syscall(_CREATE_RULESET, packed, ctypes.c_size_t(len(packed)), 0))
    if ruleset < 0:
        return False
    running, writing = _EXECUTE | _READ_FILE, _READ_FILE | _WRITE_FILE
    if version >= _TRUNCATE_ABI:
        writing |= _TRUNCATE
    for paths, rights in (
        (_PROGRAMS, running),
        (run, running),
        (read, _READ_FILE),
        (write, writing),
        (_DEVICES, writing),
    ):
        for path in paths:
            _permit(ruleset, path, rights)
    done = int(_libc.syscall(_RESTRICT_SELF, ruleset, 0)) == 0
    os.close(ruleset)
    return done


def _permit(ruleset: int, path: str, rights: int) -> None:
    """Permits access to the path. Skips a path that does not exist: the program itself reports what is missing."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    if os.path.isdir(path):
        rights |= _READ_DIR
    rule = struct.pack("=Qi", rights, descriptor)
    _libc.syscall(_ADD_RULE, ruleset, _BENEATH, rule, 0)
    os.close(descriptor)


def _filter_calls() -> bool:
    known = _CALLS.get(platform.machine())
    if known is None or struct.calcsize("P") != 8:
        return False
    architecture, checked, failing = known
    fail = (_RETURN, 0, 0, _FAIL | _EPERM)
    program = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT), (_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER_AT), (_AT_LEAST, 0, 1, _X32), fail,
        (_EQUAL, 0, 1, _CLONE3), (_RETURN, 0, 0, _FAIL | _ENOSYS),  # a filter cannot read its flags: use clone
    ]  # fmt: skip
    for number in (*failing, *_NEW_CALLS):
        program += [(_EQUAL, 0, 1, number), fail]
    argument = (_LOAD, 0, 0, _FIRST_ARGUMENT_AT)
    allow = (_RETURN, 0, 0, _ALLOW)
    # prlimit64 for this process only, tgkill for its threads only, clone without new namespaces.
    program += [(_EQUAL, 0, 4, checked["prlimit64"]), argument, (_EQUAL, 0, 1, 0), allow, fail]
    program += [(_EQUAL, 0, 4, checked["tgkill"]), argument, (_EQUAL, 0, 1, os.getpid()), allow, fail]
    program += [(_EQUAL, 0, 4, checked["clone"]), argument, (_ANY_BIT, 0, 1, _NEW_NAMESPACES), fail, allow]
    program.append(allow)
    packed = b"".join(struct.pack("=HBBI", *one) for one in program)
    instructions = ctypes.create_string_buffer(packed, len(packed))
    described = struct.pack("@HP", len(program), ctypes.addressof(instructions))
    at = ctypes.create_string_buffer(described, len(described))
    return _prctl(_SET_SECCOMP, _SECCOMP_FILTER, ctypes.addressof(at)) == 0


def _drop_capabilities() -> None:
    """Drops the capabilities of root: the process may still open root's files, but no longer those of others."""
    if os.geteuid() != 0:
        return
    for capability in range(_LAST_CAPABILITY + 1):
        _prctl(_CAPBSET_DROP, capability)
    _libc.capset(struct.pack("=Ii", _CAPABILITY_VERSION_3, 0), bytes(24))


def _prctl(option: int, *arguments: int) -> int:
    padded = (*arguments, 0, 0, 0, 0)[:4]
    return int(_libc.prctl(option, *map(ctypes.c_ulong, padded)))


def main(words: Sequence[str]) -> int:
    """Executes the command; returns an exit status only after `--report`, or if the command cannot be started."""
    if list(words) == ["--report"]:
        print(json.dumps(confine((), (), ())))  # noqa: T201  # the program's result
        return 0
    paths: dict[str, list[str]] = {"--read": [], "--write": [], "--run": []}
    rest = list(words)
    while rest and rest[0] in paths:
        paths[rest[0]].append(rest[1])
        del rest[:2]
    command = rest[1:]
    confine(paths["--read"], paths["--write"], paths["--run"])
    try:
        os.execvp(command[0], command)  # noqa: S606  # no shell is wanted
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)  # noqa: T201  # shown as its reason
    return 127


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
