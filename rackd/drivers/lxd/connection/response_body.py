"""Reads the body of an LXD server's response, within limits of size, time and memory."""

from __future__ import annotations

import threading
import time
from weakref import WeakValueDictionary

import requests
from attrs import field, frozen

from common.errors import HostUnreachable

MAX_BODY_BYTES = 64 * 1024 * 1024  # the listing of ten thousand guests has about 30 MiB
LARGE_BODY_BYTES = 4 * 1024 * 1024  # of the bodies beyond this size, one server's are read one at a time
BEGINNING_BYTES = 1024 * 1024  # of bodies that are not read to their end
BODY_S = 120.0  # from the response's head to its end
_PART_BYTES = 65536


@frozen
class LargeBodies:
    """One lock per server, which the calls that read from it share. A server is its pinned certificate."""

    _locks: WeakValueDictionary[str, threading.Lock] = field(factory=WeakValueDictionary, init=False)
    _inside: threading.Lock = field(factory=threading.Lock, init=False)

    def lock_of(self, pinned_pem: str) -> threading.Lock:
        with self._inside:
            return self._locks.setdefault(pinned_pem, threading.Lock())


def read_body(response: requests.Response, *, server: str, large: threading.Lock) -> bytes:
    """Returns the body. `server` is its address, for messages.

    Raises HostUnreachable beyond MAX_BODY_BYTES and after BODY_S, which includes waiting for the server's other large
    bodies: a server that sends without end to all calls at once takes the memory of one.
    """
    ends_at, is_large = time.monotonic() + BODY_S, False
    body = bytearray()  # unlike many small parts, its memory returns to the system as soon as it is freed
    try:
        for part in response.iter_content(_PART_BYTES):
            body += part
            if len(body) > MAX_BODY_BYTES or time.monotonic() > ends_at:
                raise _endless(server, len(body))
            if len(body) > LARGE_BODY_BYTES and not is_large:
                is_large = large.acquire(timeout=max(0.0, ends_at - time.monotonic()))
                if not is_large:
                    raise _endless(server, len(body))
        return bytes(body)
    except HostUnreachable:
        body.clear()  # the error's traceback would keep it as long as the error
        response.close()
        raise
    finally:
        if is_large:
            large.release()


def read_beginning(response: requests.Response, *, server: str) -> bytes:
    """Returns the first BEGINNING_BYTES of the body, or all of a shorter one, and ends the connection.

    Raises HostUnreachable after BODY_S.
    """
    ends_at = time.monotonic() + BODY_S
    body = bytearray()
    try:
        for part in response.iter_content(_PART_BYTES):
            body += part
            if len(body) >= BEGINNING_BYTES:
                break
            if time.monotonic() > ends_at:
                raise _endless(server, len(body))
        return bytes(body[:BEGINNING_BYTES])
    finally:
        response.close()


def _endless(server: str, size: int) -> HostUnreachable:
    return HostUnreachable(
        f"The server at {server} sent {size} bytes and no end: an answer has at most "
        f"{MAX_BODY_BYTES // 1024**2} MiB and takes at most {BODY_S:g} s."
    )
