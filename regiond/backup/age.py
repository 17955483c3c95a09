"""Reads and writes encrypted files in the format of age 1 (age-encryption.org/v1).

Memory use does not depend on their size. The programs `age` and `rage` decrypt them too, so nobody needs Innkeeper to
read a backup (docs/decisions/0073).
"""

from __future__ import annotations

import base64
import hmac
import io
import os
import re
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from regiond.backup.model import BackupFailed

WORK_FACTOR = 18  # 2^18 rounds of scrypt, as age: 256 MiB and about a second for each attempt at the pass phrase
_MOST_WORK = 22  # a file with more could occupy all memory
CHUNK_BYTES = 64 * 1024
_TAG_BYTES = 16
_KEY_BYTES = 32
_FILE_KEY_BYTES = 16
_NONCE_BYTES = 16
_FIRST_LINE = b"age-encryption.org/v1\n"
_SCRYPT_LABEL = b"age-encryption.org/v1/scrypt"
_MOST_HEADER_BYTES = 4096
_HEADER = re.compile(
    rb"age-encryption\.org/v1\n-> scrypt (?P<salt>[A-Za-z0-9+/]{22}) (?P<work>[1-9][0-9]?)\n"
    rb"(?P<body>[A-Za-z0-9+/]{43})\n--- (?P<mac>[A-Za-z0-9+/]{43})\n"
)


class EncryptedWriter:
    """Encrypts what is written to it into `target`. `close` writes the last chunk, and leaves `target` open."""

    def __init__(self, target: BinaryIO, passphrase: str, *, work_factor: int = WORK_FACTOR) -> None:
        self._target = target
        file_key, salt = os.urandom(_FILE_KEY_BYTES), os.urandom(16)
        wrap = ChaCha20Poly1305(_passphrase_key(passphrase, salt, work_factor))
        body = _text(wrap.encrypt(bytes(12), file_key, None))
        header = _FIRST_LINE + b"-> scrypt %s %d\n%s\n---" % (_text(salt), work_factor, body)
        nonce = os.urandom(_NONCE_BYTES)
        target.write(header + b" " + _text(_header_mac(file_key, header)) + b"\n" + nonce)
        self._cipher = ChaCha20Poly1305(_derived(file_key, nonce, b"payload"))
        self._pending = bytearray()
        self._chunks = 0

    def write(self, data: bytes) -> int:
        self._pending += data
        while len(self._pending) > CHUNK_BYTES:  # a full chunk may still be the last one
            self._write_chunk(bytes(self._pending[:CHUNK_BYTES]), last=False)
            del self._pending[:CHUNK_BYTES]
        return len(data)

    def close(self) -> None:
        self._write_chunk(bytes(self._pending), last=True)

    def _write_chunk(self, data: bytes, *, last: bool) -> None:
        self._target.write(self._cipher.encrypt(_chunk_nonce(self._chunks, last=last), data, None))
        self._chunks += 1


class EncryptedReader(io.RawIOBase):
    """Decrypts `source` from its current position. Returns only data that is proven to be as it was written.

    Raises BackupFailed, in words, for another file, a wrong pass phrase, a shortened file and changed bytes.
    """

    def __init__(self, source: BinaryIO, passphrase: str) -> None:
        self._source = source
        self._start = source.tell()
        header = source.read(_MOST_HEADER_BYTES)
        found = _HEADER.match(header)
        if found is None:
            raise _not_encrypted(header)
        file_key = _file_key(found, passphrase)
        end = found.end() + _NONCE_BYTES
        signed = found[0][: found.start("mac") - 1]
        if not hmac.compare_digest(_header_mac(file_key, signed), _bytes(found["mac"])):
            raise BackupFailed("The file is damaged: its header was changed.")
        nonce = header[found.end() : end]
        if len(nonce) < _NONCE_BYTES:
            raise BackupFailed("The file is incomplete: it ends within its header.")
        self._cipher = ChaCha20Poly1305(_derived(file_key, nonce, b"payload"))
        self._source.seek(self._start + end)
        self._offset = end
        self._next = self._source.read(CHUNK_BYTES + _TAG_BYTES)
        self._chunks = 0
        self._plain = memoryview(b"")
        self._is_complete = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        target = memoryview(buffer)  # type: ignore[arg-type]
        while not self._plain and not self._is_complete:
            self._plain = memoryview(self._next_chunk())
        count = min(len(target), len(self._plain))
        target[:count] = self._plain[:count]
        self._plain = self._plain[count:]
        return count

    def _next_chunk(self) -> bytes:
        chunk, self._next = self._next, self._source.read(CHUNK_BYTES + _TAG_BYTES)
        last = not self._next
        try:
            plain = self._cipher.decrypt(_chunk_nonce(self._chunks, last=last), chunk, None)
        except (InvalidTag, ValueError):
            raise self._damage(chunk, last=last) from None
        self._chunks += 1
        self._offset += len(chunk)
        self._is_complete = last
        return plain

    def _damage(self, chunk: bytes, *, last: bool) -> BackupFailed:
        if not last:
            end = self._offset + len(chunk)
            return BackupFailed(f"The file is damaged: bytes between {self._offset:,} and {end:,} were changed.")
        if len(chunk) <= _TAG_BYTES or self._is_whole(chunk):
            return BackupFailed(f"The file is incomplete: it was cut off after {self._offset + len(chunk):,} bytes.")
        return BackupFailed(
            f"The file is damaged at its end: it was cut off after {self._offset + len(chunk):,} bytes, or bytes after "
            f"{self._offset:,} were changed."
        )

    def _is_whole(self, chunk: bytes) -> bool:
        """Whether the chunk is one that others followed."""
        try:
            self._cipher.decrypt(_chunk_nonce(self._chunks, last=False), chunk, None)
        except (InvalidTag, ValueError):
            return False
        return True


def _file_key(header: re.Match[bytes], passphrase: str) -> bytes:
    work_factor = int(header["work"])
    if work_factor > _MOST_WORK:
        raise BackupFailed(f"The file asks for 2^{work_factor} rounds of scrypt; at most 2^{_MOST_WORK} are computed.")
    wrap = ChaCha20Poly1305(_passphrase_key(passphrase, _bytes(header["salt"]), work_factor))
    try:
        return wrap.decrypt(bytes(12), _bytes(header["body"]), None)
    except InvalidTag:
        raise BackupFailed("The pass phrase is wrong, or the header of the file was changed.") from None


def _not_encrypted(start: bytes) -> BackupFailed:
    if start.startswith(_FIRST_LINE + b"-> scrypt ") and b"\n---" in start:
        return BackupFailed("The file is damaged: its header was changed.")
    if start.startswith(_FIRST_LINE) and b"\n---" in start:
        return BackupFailed("The file is encrypted for keys, not with a pass phrase: it is no backup of Innkeeper.")
    if start and _FIRST_LINE.startswith(start[: len(_FIRST_LINE)]):
        return BackupFailed("The file is incomplete: it ends within its header.")
    return BackupFailed("The file is empty." if not start else "The file is no backup of Innkeeper.")


def _passphrase_key(passphrase: str, salt: bytes, work_factor: int) -> bytes:
    derivation = Scrypt(salt=_SCRYPT_LABEL + salt, length=_KEY_BYTES, n=2**work_factor, r=8, p=1)
    return derivation.derive(passphrase.encode())


def _derived(file_key: bytes, salt: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=salt, info=purpose).derive(file_key)


def _header_mac(file_key: bytes, header: bytes) -> bytes:
    return hmac.digest(_derived(file_key, b"", b"header"), header, "sha256")


def _chunk_nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])


def _text(data: bytes) -> bytes:
    return base64.b64encode(data).rstrip(b"=")


def _bytes(text: bytes) -> bytes:
    return base64.b64decode(text + b"=" * (-len(text) % 4))
