"""Reads the body of an LXD server's response, within limits of size, time and memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any
from weakref import WeakValueDictionary

import requests
import urllib3
from attrs import field, frozen

from common.bodies.bounded_body import BoundedBody, TooLarge, TooSlow
from common.bodies.bounded_json import loads
from common.errors import HostUnreachable

MAX_BODY_BYTES = 64 * 1024 * 1024  # the listing of ten thousand guests has about 30 MiB
LARGE_BODY_BYTES = 4 * 1024 * 1024  # of the bodies beyond this size, one server's are read one at a time
BEGINNING_BYTES = 1024 * 1024  # of bodies that are not read to their end
BODY_S = 120.0  # from the response's head to its end
MAX_VALUES = 4_000_000  # of its JSON: the listing of ten thousand guests has about one
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
    body = BoundedBody(MAX_BODY_BYTES, ends_at)
    try:
        for part in _parts(response):
            body.take(part)
            if body.size > LARGE_BODY_BYTES and not is_large:
                is_large = _turn(large, ends_at)
        return body.content()
    except (TooLarge, TooSlow) as error:
        body.clear()  # the error's traceback would keep it as long as the error
        response.close()
        raise _endless(server, str(error)) from None
    finally:
        if is_large:
            large.release()


def _parts(response: requests.Response) -> Iterator[bytes]:
    """Yields parts as they arrive: `iter_content` waits until a part is full, for hours if a server sends slowly.

    Raises the errors of requests.
    """
    try:
        while data := response.raw.read1(_PART_BYTES, decode_content=True):
            yield data
    except urllib3.exceptions.ReadTimeoutError as error:
        raise requests.exceptions.ReadTimeout(error) from error
    except urllib3.exceptions.HTTPError as error:
        raise requests.exceptions.ChunkedEncodingError(error) from error


def _turn(large: threading.Lock, ends_at: float) -> bool:
    """Returns True once no other large body of the server is read. Raises TooSlow."""
    if not large.acquire(timeout=max(0.0, ends_at - time.monotonic())):
        raise TooSlow("several large bodies at once")
    return True


def json_of(response: requests.Response, **_: object) -> Any:
    """Returns the JSON of a response that was read. Raises ValueError, also for more than a server has.

    Most of it is parsed in threads, beside the event loop of the rack.
    """
    return loads(response.content, max_values=MAX_VALUES, in_thread=True)


def read_beginning(response: requests.Response, *, server: str) -> bytes:
    """Returns the first BEGINNING_BYTES of the body, or all of a shorter one, and ends the connection.

    Raises HostUnreachable after BODY_S.
    """
    body = BoundedBody(BEGINNING_BYTES + _PART_BYTES, time.monotonic() + BODY_S)
    try:
        for part in _parts(response):
            body.take(part)
            if body.size >= BEGINNING_BYTES:
                break
        return body.content()[:BEGINNING_BYTES]
    except TooSlow as error:
        raise _endless(server, str(error)) from None
    finally:
        response.close()


def _endless(server: str, what: str) -> HostUnreachable:
    return HostUnreachable(
        f"The server at {server} sent {what}: an answer has at most "
        f"{MAX_BODY_BYTES // 1024**2} MiB and takes at most {BODY_S:g} s."
    )
