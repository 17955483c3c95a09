"""Reads and writes the tar stream in a backup: manifest first, and a last entry that proves it complete.

    manifest.json | secrets.key | authority.pem | regiond.toml | database/00000000, … | images/SHA256, … | end.json

The dump has no length that is known before it ends, so it is cut into entries of at most 4 MiB:
`age -d FILE | tar -xO --wildcards 'database/*'` prints it as `pg_restore` reads it.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO

from attrs import define, field

from regiond.backup.age import WORK_FACTOR, EncryptedReader, EncryptedWriter
from regiond.backup.model import BackupFailed, Contents, Manifest

MANIFEST, END = "manifest.json", "end.json"
KEY, AUTHORITY, SETTINGS = "secrets.key", "authority.pem", "regiond.toml"
_DATABASE, _IMAGES = "database/", "images/"
_PIECE_BYTES = 4 * 1024 * 1024
_MOST_PRIVATE_BYTES = 1024 * 1024  # of the manifest, the key, the authority and the settings


class ArchiveWriter:
    """Writes a backup into `target`. The caller writes the dump between `begin` and `end`."""

    def __init__(self, target: BinaryIO, passphrase: str, *, work_factor: int = WORK_FACTOR) -> None:
        self._encrypted = EncryptedWriter(target, passphrase, work_factor=work_factor)
        self._tar = tarfile.open(mode="w|", fileobj=self._encrypted, format=tarfile.PAX_FORMAT)  # type: ignore[call-overload]  # noqa: SIM115  # closed by `end`
        self._piece = bytearray()
        self._pieces = 0
        self._dump_bytes = 0
        self._dump_hash = hashlib.sha256()

    def begin(self, manifest: Manifest, private: Mapping[str, bytes]) -> None:
        """Writes the manifest and the private files by name."""
        self._add(MANIFEST, json.dumps(manifest.as_plain(), indent=1).encode())
        for name, content in private.items():
            self._add(name, content)

    def write_dump(self, data: bytes) -> None:
        self._dump_hash.update(data)
        self._dump_bytes += len(data)
        self._piece += data
        while len(self._piece) >= _PIECE_BYTES:
            self._write_piece(bytes(self._piece[:_PIECE_BYTES]))
            del self._piece[:_PIECE_BYTES]

    def write_image(self, sha256: str, size_bytes: int, file: BinaryIO) -> None:
        self._write_rest()
        entry = tarfile.TarInfo(_IMAGES + sha256)
        entry.size, entry.mode = size_bytes, 0o600
        self._tar.addfile(entry, file)

    def end(self) -> int:
        """Returns the length of the dump in bytes."""
        self._write_rest()
        end = {"dump_bytes": self._dump_bytes, "dump_sha256": self._dump_hash.hexdigest()}
        self._add(END, json.dumps(end).encode())
        self._tar.close()
        self._encrypted.close()
        return self._dump_bytes

    def _write_rest(self) -> None:
        if self._piece:
            self._write_piece(bytes(self._piece))
            self._piece.clear()

    def _write_piece(self, data: bytes) -> None:
        self._add(f"{_DATABASE}{self._pieces:08}", data)
        self._pieces += 1

    def _add(self, name: str, content: bytes) -> None:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = len(content), 0o600
        self._tar.addfile(entry, io.BytesIO(content))


def _nothing(_: bytes) -> None:
    return


def _no_image(_sha256: str, _file: BinaryIO) -> None:
    return


@define
class ArchiveReader:
    """Reads a backup from its beginning to its end, once. `private` has the private files by name after `manifest`."""

    _tar: tarfile.TarFile
    _decrypted: EncryptedReader
    manifest: Manifest
    private: dict[str, bytes] = field(factory=dict, repr=False)
    _dump_bytes: int = 0

    @classmethod
    def open(cls, source: BinaryIO, passphrase: str) -> ArchiveReader:
        """Reads the manifest. Raises BackupFailed for a file that is no backup, and for a wrong pass phrase."""
        decrypted = EncryptedReader(source, passphrase)
        with _unreadable_content():
            tar = tarfile.open(mode="r|", fileobj=decrypted)  # noqa: SIM115  # it has no file of its own
            first = tar.next()
            if first is None or first.name != MANIFEST:
                raise BackupFailed("The file is encrypted with this pass phrase, but it is no backup of Innkeeper.")
            manifest = Manifest.of(json.loads(_content(tar, first)))
        return cls(tar, decrypted, manifest)

    def read(
        self, on_dump: Callable[[bytes], None] = _nothing, on_image: Callable[[str, BinaryIO], None] = _no_image
    ) -> Contents:
        """Reads the rest. Raises BackupFailed if anything is missing or differs from what was written."""
        found = hashlib.sha256()
        end: Any = None
        with _unreadable_content():
            for entry in self._entries():
                if entry.name.startswith(_DATABASE):
                    data = _content(self._tar, entry, most=_PIECE_BYTES)
                    found.update(data)
                    self._dump_bytes += len(data)
                    on_dump(data)
                elif entry.name.startswith(_IMAGES):
                    self._read_image(entry, on_image)
                elif entry.name == END:
                    end = json.loads(_content(self._tar, entry))
                else:
                    self.private[entry.name] = _content(self._tar, entry)
            while self._decrypted.read(_PIECE_BYTES):
                pass  # the last chunk proves that the file was not cut off
        if end != {"dump_bytes": self._dump_bytes, "dump_sha256": found.hexdigest()}:
            raise BackupFailed("The backup is incomplete: the program that wrote it did not end well.")
        return Contents(manifest=self.manifest, dump_bytes=self._dump_bytes, private=self.private)

    def _entries(self) -> Iterator[tarfile.TarInfo]:
        while (entry := self._tar.next()) is not None:
            yield entry

    def _read_image(self, entry: tarfile.TarInfo, on_image: Callable[[str, BinaryIO], None]) -> None:
        sha256 = entry.name.removeprefix(_IMAGES)
        file = self._tar.extractfile(entry)
        if file is None or sha256 not in {one.sha256 for one in self.manifest.images}:
            raise BackupFailed(f"The backup has an unexpected entry {entry.name}.")
        hashed = _Hashed(file)
        on_image(sha256, hashed)  # type: ignore[arg-type]  # only its `read` is used
        while hashed.read(_PIECE_BYTES):
            pass
        if hashed.digest.hexdigest() != sha256:
            raise BackupFailed(f"The content of the image {sha256} is not what its hash says.")


@define
class _Hashed:
    _file: Any
    digest: Any = field(factory=hashlib.sha256)

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._file.read(size)
        self.digest.update(data)
        return data


@contextmanager
def _unreadable_content() -> Iterator[None]:
    """Turns errors of tar and JSON into BackupFailed: what was decrypted was written like this."""
    try:
        yield
    except (tarfile.TarError, EOFError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BackupFailed(f"The content of the backup cannot be read: {error}.") from error


def _content(tar: tarfile.TarFile, entry: tarfile.TarInfo, *, most: int = _MOST_PRIVATE_BYTES) -> bytes:
    file = tar.extractfile(entry)
    if file is None or entry.size > most:
        raise BackupFailed(f"The backup has an unexpected entry {entry.name}.")
    return file.read()
