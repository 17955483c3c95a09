"""Translates libvirt's errors and runs its event loop."""

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
_NO_SPACE = ("no space left", "insufficient free space", "not enough free space", "out of space")
_SSH = {libvirt.VIR_ERR_LIBSSH, libvirt.VIR_ERR_SSH}
_SSH_REJECTIONS = ("authenticat", "host key", "private key")

_loop_lock = threading.Lock()
_loop_runs = False


def ensure_event_loop() -> None:
    """Starts libvirt's event loop, which events and keepalives need. Idempotent; call it before the first connection.

    Its thread lives as long as the process: libvirt cannot unregister an event loop.
    """
    global _loop_runs  # noqa: PLW0603  libvirt's loop is global to the process
    with _loop_lock:
        if _loop_runs:
            return
        libvirt.registerErrorHandler(lambda _context, _error: None, None)  # otherwise libvirt prints errors on stderr
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


def translate_open(error: libvirt.libvirtError, uri: str) -> InnkeeperError:
    """Returns NotTrusted if the host rejected the login, Unsupported if this libvirt lacks the transport, else
    HostUnreachable."""
    code, reason = error.get_error_code(), str(error)
    kind = _KINDS.get(code)
    if kind is NotTrusted or (code in _SSH and any(text in reason.lower() for text in _SSH_REJECTIONS)):
        return NotTrusted(f"{uri} rejected the login: {reason}")
    if kind is Unsupported or code == libvirt.VIR_ERR_INVALID_ARG:
        return Unsupported(f"Cannot open {uri}: {reason}")
    return HostUnreachable(f"Cannot connect to {uri}: {reason}")


def translate(error: libvirt.libvirtError, what: str, *, connected: bool) -> InnkeeperError:
    """Returns Innkeeper's error for a failed call; `what` (an imperative phrase) was tried."""
    code, reason = error.get_error_code(), str(error)
    message = f"Cannot {what}: {reason}"
    if code == libvirt.VIR_ERR_SYSTEM_ERROR and error.get_int1() in {errno.ENOSPC, errno.EDQUOT}:
        return OutOfCapacity(message)
    if any(text in reason.lower() for text in _NO_SPACE):
        return OutOfCapacity(message)
    kind = _KINDS.get(code)
    if kind is None:
        kind = DriverFailed if connected else HostUnreachable
    return kind(message)
