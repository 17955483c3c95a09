"""Searches bytes for secrets: plain, in hex, in base64, or quoted for a URL."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key

_WINDOW = 20  # characters: 120 bits in base64, 80 in hex
_RUN = re.compile(rb"[A-Za-z0-9+/=%_.-]{20,}")


class SecretSearch:
    """Finds any 20 characters of the secrets. Only secret parts are added: tokens and keys also have public parts."""

    def __init__(self) -> None:
        self._windows: dict[bytes, str] = {}
        self._binary: dict[bytes, str] = {}

    def add_text(self, name: str, text: str) -> None:
        assert len(text) >= _WINDOW, f"{name} is too short: it would be found by chance"
        for start in range(len(text) - _WINDOW + 1):
            self._add(name, text[start : start + _WINDOW].encode())

    def add_key(self, name: str, pem: str) -> None:
        """Adds the PEM lines of a private key and its secret numbers."""
        load = load_ssh_private_key if "OPENSSH PRIVATE KEY" in pem else load_pem_private_key
        key = load(pem.encode(), None)
        lines = pem[pem.index("PRIVATE KEY-----") :].split("\n")[1:]
        lines = lines[: next(number for number, line in enumerate(lines) if line.startswith("-----"))]
        der = base64.b64decode("".join(lines))
        first, *others = [number.to_bytes((number.bit_length() + 7) // 8) for number in _private_numbers(key)]
        begin = der.index(first)
        end = len(der) if others else begin + len(first)  # RSA: everything after is secret; EC: the public point is not
        width = len(lines[0])
        for number, line in enumerate(lines):
            here = line[max(0, -(-8 * begin // 6) - width * number) : max(0, 8 * end // 6 - width * number)]
            if len(here) >= _WINDOW:
                self.add_text(name, here)
        for secret in (first, *others):
            self._binary[secret] = name
            self._windows |= {form[:_WINDOW]: name for form in _forms(secret)}

    def _add(self, name: str, secret: bytes) -> None:
        for form in _forms(secret):
            self._windows[form[:_WINDOW]] = name

    @property
    def names(self) -> set[str]:
        return {*self._windows.values(), *self._binary.values()}

    def found_in(self, data: bytes) -> set[str]:
        """The names of the secrets that were found."""
        found = {name for secret, name in self._binary.items() if secret in data}
        for run in _RUN.finditer(data):
            text = run.group()
            windows = (text[start : start + _WINDOW] for start in range(len(text) - _WINDOW + 1))
            found |= {self._windows[window] for window in windows if window in self._windows}
        return found

    def found_among(self, places: Mapping[str, bytes]) -> dict[str, set[str]]:
        """Found secrets by place; places without any are omitted."""
        return {place: found for place, data in places.items() if (found := self.found_in(data))}


def _forms(secret: bytes) -> Iterable[bytes]:
    yield secret
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    yield quote(secret, safe="").encode()
    for before in range(3):  # at every alignment in the encoded data
        whole = base64.b64encode(bytes(before) + secret)
        inner = whole[-(-8 * before // 6) : 8 * (before + len(secret)) // 6]
        yield inner
        yield inner.replace(b"+", b"-").replace(b"/", b"_")


def _private_numbers(key: object) -> tuple[int, ...]:
    """In writing order."""
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.private_numbers()
        return numbers.d, numbers.p, numbers.q
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return (int.from_bytes(key.private_bytes_raw()),)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return (key.private_numbers().private_value,)
