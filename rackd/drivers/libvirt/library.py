"""libvirt's event loop, once in a process, and its errors in our words."""

from __future__ import annotations

import errno
import threading
from collections.abc import Mapping

import libvirt
import structlog

from common.errors import (
    Busy,
    DriverFailed,
    HostUnreachable,
    InnkeeperError,
    NameTaken,
    NotFound,
    NotTrusted,
    OutOfCapacity,
    Unsupported,
)

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

_MISSING = {
    libvirt.VIR_ERR_NO_DOMAIN,
    libvirt.VIR_ERR_NO_STORAGE_POOL,
    libvirt.VIR_ERR_NO_STORAGE_VOL,
    libvirt.VIR_ERR_NO_NETWORK,
    libvirt.VIR_ERR_NO_NWFILTER,
    libvirt.VIR_ERR_NO_NODE_DEVICE,
    libvirt.VIR_ERR_NO_INTERFACE,
}
_KINDS: Mapping[int, type[InnkeeperError]] = {
    **dict.fromkeys(_MISSING, NotFound),
    libvirt.VIR_ERR_AUTH_FAILED: NotTrusted,
    libvirt.VIR_ERR_AUTH_CANCELLED: NotTrusted,
    libvirt.VIR_ERR_AUTH_UNAVAILABLE: NotTrusted,
    libvirt.VIR_ERR_NO_SUPPORT: Unsupported,
    libvirt.VIR_ERR_CONFIG_UNSUPPORTED: Unsupported,
    libvirt.VIR_ERR_DOM_EXIST: NameTaken,
    libvirt.VIR_ERR_OPERATION_TIMEOUT: Busy,  # another job holds the domain
}
_NO_ROOM = ("no space left", "insufficient free space", "not enough free space", "out of space")
_SSH = {libvirt.VIR_ERR_LIBSSH, libvirt.VIR_ERR_SSH}
_SSH_REFUSALS = ("authenticat", "host key", "private key")

_loop_lock = threading.Lock()
_loop_runs = False


def ensure_event_loop() -> None:
    """Start libvirt's event loop, once in a process and before the first connection: events and keep-alives need it.

    Its thread lives as long as the process; libvirt has no way to take a loop back.
    """
    global _loop_runs  # noqa: PLW0603  the library's own loop is global to the process
    with _loop_lock:
        if _loop_runs:
            return
        libvirt.registerErrorHandler(lambda _context, _error: None, None)  # otherwise it prints on stderr
        libvirt.virEventRegisterDefaultImpl()
        threading.Thread(target=_run_event_loop, name="libvirt-events", daemon=True).start()
        _loop_runs = True


def _run_event_loop() -> None:
    while True:
        try:
            libvirt.virEventRunDefaultImpl()
        except libvirt.libvirtError as error:
            log.error("libvirt_event_loop_failed", reason=str(error))  # noqa: TRY400  the traceback is libvirt's one line
            return


def translate_opening(error: libvirt.libvirtError, place: str) -> InnkeeperError:
    """Why `place` could not be opened: HostUnreachable, unless it answered and would not have us (NotTrusted), or this
    libvirt does not know the transport (Unsupported)."""
    code, words = error.get_error_code(), str(error)
    kind = _KINDS.get(code)
    if kind is NotTrusted or (code in _SSH and any(sign in words.lower() for sign in _SSH_REFUSALS)):
        return NotTrusted(f"{place} refused the login: {words}")
    if kind is Unsupported or code == libvirt.VIR_ERR_INVALID_ARG:
        return Unsupported(f"{place} cannot be opened: {words}")
    return HostUnreachable(f"{place} cannot be reached: {words}")


def translate(error: libvirt.libvirtError, what: str, *, connected: bool) -> InnkeeperError:
    """The error of ours that says the same; its message starts with `what` was tried."""
    code, words = error.get_error_code(), str(error)
    message = f"{what}: {words}"
    if code == libvirt.VIR_ERR_SYSTEM_ERROR and error.get_int1() in {errno.ENOSPC, errno.EDQUOT}:
        return OutOfCapacity(message)
    if any(sign in words.lower() for sign in _NO_ROOM):
        return OutOfCapacity(message)
    kind = _KINDS.get(code)
    if kind is None:
        kind = DriverFailed if connected else HostUnreachable
    return kind(message)
