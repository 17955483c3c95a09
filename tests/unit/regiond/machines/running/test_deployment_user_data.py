"""The field `user_data` of `op=deploy`, and the parts that cloud-init makes of it."""

from __future__ import annotations

import base64
import email
import email.policy
import gzip
import zlib
from email.message import EmailMessage
from email.mime.application import MIMEApplication
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidRequest
from regiond.machines.running.deployment.mime_parts import MAX_DEPTH, MAX_PARTS, Part, join, split
from regiond.machines.running.deployment.user_data import MAX_CONTENT_BYTES, decode_user_data
from regiond.machines.running.deployment.user_data_kinds import MAX_EXPANDED_BYTES, parts_of

CONFIG = "#cloud-config\npackages: [é]\n".encode()
KINDS = {
    b"#!/bin/sh\necho\n": "text/x-shellscript",
    CONFIG: "text/cloud-config",
    b"\n #Cloud-Config\na: 1\n": "text/cloud-config",
    b"#cloud-config-archive\n- a\n": "text/cloud-config-archive",
    b"#cloud-config-jsonp\n[]\n": "text/cloud-config-jsonp",
    b"#cloud-boothook\necho\n": "text/cloud-boothook",
    b"#include\nhttp://10.0.0.1/a\n": "text/x-include-url",
    b"#include-once\nhttp://10.0.0.1/a\n": "text/x-include-once-url",
    b"#part-handler\npass\n": "text/part-handler",
    b"## template: jinja\n#cloud-config\na: {{ v1.region }}\n": "text/jinja2",
}


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def refusal(content: bytes | str) -> str:
    with pytest.raises(InvalidRequest) as refused:
        decode_user_data(content if isinstance(content, str) else encoded(content))
    ((field, (message,)),) = refused.value.fields.items()
    assert field == "user_data"
    return message


@pytest.mark.parametrize("text", ["", "  \n", encoded(b"  \n"), encoded(gzip.compress(b"", mtime=0))])
def test_an_empty_field_is_no_user_data(text: str) -> None:
    assert decode_user_data(text) is None


@pytest.mark.parametrize("content", [*KINDS, gzip.compress(CONFIG, mtime=0)])
def test_base64_is_decoded_with_line_breaks_and_twice(content: bytes) -> None:
    once = encoded(content)
    broken = base64.encodebytes(content).decode().replace("\n", "\r\n")
    for text in (
        once,
        broken,
        encoded(once.encode()),
        encoded(broken.encode()),
        base64.encodebytes(once.encode()).decode(),
    ):
        assert decode_user_data(text) == content


@pytest.mark.parametrize(("content", "content_type"), KINDS.items())
def test_the_beginning_tells_the_kind(content: bytes, content_type: str) -> None:
    for received in (content, gzip.compress(content, mtime=0)):
        (part,) = parts_of(received)
        assert (part.content_type, part.content) == (content_type, content)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"hello", "begins with 'hello', which cloud-init does not know. User data is a script"),
        (b"\xef\xbb\xbf#cloud-config\n", "the bytes ef bb bf"),
        ("#cloud-config".encode("utf-16"), "the bytes ff fe"),
        (b"#cloud-config\na: \xff\n", "not UTF-8: byte 17 is 0xff"),
        (gzip.compress(gzip.compress(CONFIG, mtime=0), mtime=0), "holds gzip data again"),
        (gzip.compress(b"hello", mtime=0), "begins with 'hello'"),
        (gzip.compress(CONFIG, mtime=0)[:-6], "cut off"),
        (gzip.compress(CONFIG, mtime=0) + b"rest", "damaged"),
        (b"\x1f\x8bjunk", "damaged"),
        (gzip.compress(b"#!a", mtime=0) * 17, "more than 16 members"),
    ],
)
def test_content_that_cloud_init_ignores_is_refused(content: bytes, said: str) -> None:
    assert said in refusal(content)


@pytest.mark.parametrize("content", KINDS)
def test_content_is_accepted_as_it_is(content: bytes) -> None:
    assert decode_user_data(content.decode()) == content


def test_a_field_that_is_neither_base64_nor_known_is_refused() -> None:
    message = refusal("abc")
    assert message.startswith("The field is neither valid base64 nor a format that cloud-init knows")
    assert message.endswith("it begins with 'abc'.")
    assert "neither valid base64" in refusal("é")
    assert "neither valid base64" in refusal(f"{encoded(CONFIG)}!")
    assert "at most 1 MiB" in refusal("#!/bin/sh\n" + "é" * (MAX_CONTENT_BYTES // 2))


def test_content_has_at_most_one_mebibyte() -> None:
    script = b"#!/bin/sh\n"
    largest = script.ljust(MAX_CONTENT_BYTES, b"#")
    assert decode_user_data(encoded(largest)) == largest
    assert decode_user_data(encoded(base64.encodebytes(largest))) == largest
    assert "has 1048577 bytes. User data has at most 1 MiB" in refusal(largest + b"#")
    assert "The field has" in refusal("A" * 3 * MAX_CONTENT_BYTES)


def test_gzip_holds_at_most_sixteen_mebibytes() -> None:
    largest = b"#!/bin/sh\n".ljust(MAX_EXPANDED_BYTES, b"#")
    (part,) = parts_of(gzip.compress(largest, 1, mtime=0))
    assert part.content == largest
    assert "more than 16 MiB" in refusal(gzip.compress(largest + b"#", 1, mtime=0))


@pytest.mark.slow
def test_a_gzip_bomb_is_not_expanded() -> None:
    machine = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(machine.compress(bytes(1 << 20)) for _ in range(512)) + machine.flush()
    assert len(bomb) < MAX_CONTENT_BYTES
    assert "more than 16 MiB" in refusal(bomb)


def message_of(*parts: tuple[str, str]) -> MIMEMultipart:
    message = MIMEMultipart()
    for subtype, content in parts:
        part = MIMEText(content, subtype, "utf-8")
        part.add_header("Content-Disposition", "attachment", filename=f"{subtype}.txt")
        part["Merge-Type"] = "list(append)"
        message.attach(part)
    return message


def test_the_parts_of_a_mime_message_are_kept() -> None:
    message = message_of(("cloud-config", "#cloud-config\na: é\n"), ("x-shellscript", "#!/bin/sh\n"))
    message.attach(MIMEApplication(gzip.compress(CONFIG, mtime=0), "gzip"))
    for content in (message.as_bytes(), b"From nobody\n" + message.as_bytes(), gzip.compress(message.as_bytes())):
        config, script, compressed = parts_of(content)
        assert config == Part(
            content_type="text/cloud-config",
            content="#cloud-config\na: é\n".encode(),
            filename="cloud-config.txt",
            headers=(("Merge-Type", "list(append)"),),
        )
        assert (script.content_type, script.content) == ("text/x-shellscript", b"#!/bin/sh\n")
        assert (compressed.content_type, compressed.content) == ("application/gzip", gzip.compress(CONFIG, mtime=0))


def test_containers_are_opened_in_their_place() -> None:
    message = message_of(("plain", "first"))
    message.attach(message_of(("plain", "second"), ("plain", "third")))
    message.attach(MIMEText("last"))
    assert [part.content for part in parts_of(message.as_bytes())] == [b"first", b"second", b"third", b"last"]


def test_a_part_may_lack_headers_and_the_message_its_end() -> None:
    message = (
        b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\nx\r\n--b\r\n\r\n#!a\r\n--b\r\n\r\n#!b'
    )
    assert [(part.content_type, part.content) for part in parts_of(message)] == [
        ("text/plain", b"#!a"),
        ("text/plain", b"#!b"),
    ]


def container(boundary: str, inside: str) -> str:
    return f'Content-Type: multipart/mixed; boundary="{boundary}"\n\n--{boundary}\n{inside}\n--{boundary}--\n'


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("Content-Type: multipart/mixed\n\n", "no boundary"),
        ('Content-Type: multipart/mixed; boundary="b"\n\nnothing', "no line is --b"),
        (container("b", "\na\n--b\n" * 300), f"more than {MAX_PARTS} parts"),
        ("Content-Type: message/rfc822\n\n" * 9, f"more than {MAX_DEPTH} containers"),
        ("X-Long: " + "a" * 9000, "headers of more than 8 KiB"),
    ],
)
def test_a_mime_message_beyond_the_limits_is_refused(message: str, said: str) -> None:
    assert said in refusal(f"MIME-Version: 1.0\n{message}".encode())


def test_headers_that_could_forge_others_are_dropped() -> None:
    (part,) = parts_of(
        b"MIME-Version: 1.0\nContent-Type: text/cloud-config; name*=utf-8''a\nMerge-Type: list(\xff)\n"
        b"Content-Disposition: attachment; filename*=utf-8''a%0D%0AMerge-Type%3A%20b\n\n#cloud-config\n"
    )
    assert (part.filename, part.headers) == (None, ())


contents = st.one_of(st.binary(max_size=60), st.sampled_from([b"--=_innkeeper_=\n", b"\n--=_innkeeper_=--\n", b"\r\n"]))


@given(st.lists(contents, min_size=1, max_size=4))
def test_joined_parts_are_split_to_the_same(found: list[bytes]) -> None:
    parts = tuple(Part(content_type="text/plain", content=content, filename=f"f{n}") for n, content in enumerate(found))
    assert split(join(parts)) == parts
    read = email.message_from_bytes(join(parts))
    assert not read.defects
    assert [part.get_payload(decode=True) for part in read.walk() if not part.is_multipart()] == found


@pytest.mark.slow
@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=60), min_size=1, max_size=4))
def test_messages_are_split_as_the_standard_library_does(texts: list[str]) -> None:
    message = EmailMessage(policy=email.policy.SMTP)
    message.make_mixed()
    for text in texts:
        message.add_attachment(text.encode(), maintype="text", subtype="plain", cte="base64")
    message["MIME-Version"] = "1.0"
    received = message.as_bytes()
    expected = [part.get_payload(decode=True) for part in email.message_from_bytes(received).walk()][1:]
    assert [part.content for part in parts_of(received)] == expected


def refused_fields(field: str) -> list[str]:
    """Any other exception is a bug."""
    try:
        decode_user_data(field)
    except InvalidRequest as refused:
        return list(refused.fields)
    return ["user_data"]


@given(st.one_of(st.binary(max_size=300), st.text(max_size=300).map(lambda text: text.encode("utf-8", "replace"))))
def test_any_content_is_accepted_or_refused_by_a_message(content: bytes) -> None:
    for received in (content, b"MIME-Version: 1.0\n" + content, b"\x1f\x8b" + content, gzip.compress(content, mtime=0)):
        assert refused_fields(encoded(received)) == ["user_data"]


@given(st.text(max_size=200))
def test_any_field_is_accepted_or_refused_by_a_message(field: str) -> None:
    assert refused_fields(field) == ["user_data"]


noise = st.one_of(
    st.binary(max_size=40).map(lambda found: found.replace(b"\n", b"")),
    st.text("b;=*'\"%0/ ()\\é?", max_size=40).map(str.encode),
)


@given(st.lists(noise, min_size=6, max_size=6))
def test_any_mime_header_is_accepted_or_refused_by_a_message(found: list[bytes]) -> None:
    lines = [
        b"MIME-Version: 1.0",
        b"Content-Type: multipart/mixed; boundary=b" + found[0],
        b"",
        b"--b",
        b"Content-Type: text/" + found[1],
        b"Content-Disposition: attachment; filename" + found[2],
        b"Content-Transfer-Encoding: " + (found[3] or b"uuencode"),
        b"Merge-Type: " + found[4],
        b"",
        found[5],
        b"--b--",
    ]
    assert refused_fields(encoded(b"\n".join(lines))) == ["user_data"]


@given(noise, st.sampled_from(["base64", "quoted-printable", "x-uuencode", "8bit"]))
def test_any_transfer_encoding_is_decoded_or_kept(content: bytes, encoding: str) -> None:
    head = f"MIME-Version: 1.0\nContent-Type: text/plain; charset=none\nContent-Transfer-Encoding: {encoding}\n\n"
    assert len(parts_of(head.encode() + content)) == 1
