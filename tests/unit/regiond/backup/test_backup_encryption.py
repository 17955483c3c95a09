"""The encryption of backups: the format of age, and what a reader says about a damaged file."""

from __future__ import annotations

import base64
import io

import pytest

from regiond.backup.age import CHUNK_BYTES, EncryptedReader, EncryptedWriter
from regiond.backup.model import BackupFailed

PASSPHRASE = "vault-orbit-kettle-91"  # noqa: S105
CHEAP = 2
# Written by pyrage 1.4.0 (rage), another implementation of the format, for this pass phrase and "made by rage\n" * 4.
BY_RAGE = (
    "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IHNjcnlwdCB0OHREcWIyZ3k3bTcyTTJDdFVRWVZBIDE3CjB3TC84eTRBeUJwVFBlN3hk"
    "SkR6T3JMT3hqSTFkOTkvSm43eG1XcEFhS1UKLS0tIHI4bjhodFZBRGN5N3plZXh6TmhCMHNpTm1RU2tyRjJBRyt2VytLVTZNemMK"
    "oDrRhIPvtSGO9YKnimFdV3+rhzdIr48cK0sVXdugvlfDa0lwPPj4CYuaMST22TKoL4EJuP8duoXdfFohGwlHzBDlVblsu8W9bXpJ"
    "u8nR6wfo8jgg"
)


def encrypted(data: bytes) -> bytes:
    target = io.BytesIO()
    writer = EncryptedWriter(target, PASSPHRASE, work_factor=CHEAP)
    writer.write(data)
    writer.close()
    return target.getvalue()


def decrypted(data: bytes, passphrase: str = PASSPHRASE) -> bytes:
    return EncryptedReader(io.BytesIO(data), passphrase).read()


@pytest.mark.parametrize("length", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES])
def test_data_of_any_length_is_read_as_it_was_written(length: int) -> None:
    data = bytes(range(256)) * (length // 256) + bytes(length % 256)
    assert decrypted(encrypted(data)) == data


@pytest.mark.slow  # 2^18 rounds of scrypt or more
def test_a_file_of_another_implementation_is_read() -> None:
    assert decrypted(base64.b64decode(BY_RAGE)) == b"made by rage\n" * 4


def test_a_wrong_pass_phrase_is_named() -> None:
    with pytest.raises(BackupFailed, match="The pass phrase is wrong"):
        decrypted(encrypted(b"secret"), "another-pass-phrase")


@pytest.mark.parametrize(
    ("length", "message"),
    [
        (0, "The file is empty"),
        (15, "ends within its header"),
        (60, "ends within its header"),
        (170, "incomplete"),
        (-1, "damaged at its end: it was cut off"),
        (-CHUNK_BYTES, "incomplete: it was cut off after"),
        (-16 - CHUNK_BYTES, "incomplete: it was cut off after"),  # exactly between two chunks
    ],
)
def test_a_shortened_file_is_named(length: int, message: str) -> None:
    whole = encrypted(bytes(2 * CHUNK_BYTES))
    with pytest.raises(BackupFailed, match=message):
        decrypted(whole[:length])


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (3, "no backup of Innkeeper"),
        (60, "header.* was changed"),
        (140, "header was changed"),
        (1000, "bytes between .* were changed"),
        (-1, "damaged at its end"),
    ],
)
def test_a_changed_byte_is_named(place: int, message: str) -> None:
    changed = bytearray(encrypted(bytes(2 * CHUNK_BYTES)))
    changed[place] ^= 1 if place != 140 else 2
    with pytest.raises(BackupFailed, match=message):
        decrypted(bytes(changed))


def test_another_file_is_no_backup() -> None:
    with pytest.raises(BackupFailed, match="no backup of Innkeeper"):
        decrypted(b"PGDMP\x01\x0e")
