"""Style sheet, scripts, fonts and pictures, under addresses that change with their content."""

from __future__ import annotations

import hashlib
import re
from importlib.resources import files
from importlib.resources.abc import Traversable

from attrs import frozen

from regiond.api.compression import MIN_BYTES, packed
from regiond.api.etags import etag_of, tagged
from regiond.api.replies import Reply
from regiond.ui.texts import messages_of_script
from regiond.ui.web_request import UI

_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "woff2": "font/woff2",
    "txt": "text/plain; charset=utf-8",
}
_PACKED_ALREADY = (".woff2",)
_BEST = 9  # once at start, in some 30 ms
_STRING = re.compile(rb"""("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')""")
_SIGNS = re.compile(rb"\s*([{}()\[\]=,;:?<>&|!*]+)\s*")  # not + and -, two of which mean something else
_LINE_END = re.compile(rb"([{;,(\[])\n")  # after these, a line never ends a statement by itself
_FOREVER = "public, max-age=31536000, immutable"


@frozen
class StaticFiles:
    """All files by name, in memory, as they are and compressed, and the fingerprint of them all."""

    contents: dict[str, bytes]
    packed: dict[str, bytes]
    etags: dict[str, str]
    fingerprint: str

    @classmethod
    def packaged(cls) -> StaticFiles:
        found = dict(sorted(_read(files("regiond.ui").joinpath("static"))))
        found |= {name: _compact(content) for name, content in found.items() if name.startswith("scripts/")}
        digest = hashlib.sha256()
        for name, content in found.items():
            digest.update(name.encode() + b"\0" + content)
        small = {
            name: packed(content, level=_BEST)
            for name, content in found.items()
            if len(content) >= MIN_BYTES and not name.endswith(_PACKED_ALREADY)
        }
        etags = {name: etag_of(content) for name, content in found.items()}
        return cls(found, small, etags, digest.hexdigest()[:12])

    @property
    def own_scripts(self) -> dict[str, bytes]:
        """Returns those that every page in the frame loads; logins, consoles, uploads and outages have their own."""
        own = (
            "console_log",
            "console_terminal",
            "image_upload",
            "login",
            "questions",
            "login_again",
            "retry",
            "screen",
            "screen_clipboard",
            "screen_keys",
            "style_sheets",
        )
        others = {f"scripts/{name}.js" for name in own}
        return {
            name: content
            for name, content in self.contents.items()
            if name.startswith("scripts/") and name not in others
        }

    @property
    def script_texts(self) -> list[str]:
        """Returns the messages of all scripts."""
        scripts = [content for name, content in self.contents.items() if name.startswith("scripts/")]
        return [message for content in scripts for message in messages_of_script(content.decode())]

    def url(self, name: str) -> str:
        """Relative addresses in the style sheet stay below the fingerprint."""
        if name not in self.contents:
            raise KeyError(name)
        return f"{UI}static/{self.fingerprint}/{name}"

    def reply(self, fingerprint: str, name: str, if_none_match: str | None = None) -> Reply | None:
        """The file, or None. One of another release is sent too, but browsers ask again for it."""
        content = self.contents.get(name)
        if content is None:
            return None
        cache = _FOREVER if fingerprint == self.fingerprint else "no-cache"
        kind = _TYPES[name.rpartition(".")[2]]
        headers = {"Cache-Control": cache, "Vary": "Accept-Encoding", "ETag": self.etags[name]}
        sent = Reply(status=200, body=content, content_type=kind, headers=headers, packed=self.packed.get(name))
        return tagged(sent, if_none_match)


def _compact(script: bytes) -> bytes:
    """Without indentation and comments, each of which begins its line or follows a space, and blanks around signs.

    No text goes over the end of a line.
    """
    lines = [re.sub(rb"(^|\s)// .*|^//$", b"", line.strip()) for line in script.splitlines()]
    return _LINE_END.sub(rb"\1", b"\n".join(_tight(line) for line in lines if line))


def _tight(line: bytes) -> bytes:
    """Strings stay as they are, and so do lines with a slash or a backtick: what they have may be no code."""
    parts = _STRING.split(line)
    if any(b"/" in part or b"`" in part for part in parts[::2]):
        return line
    return b"".join(part if at % 2 else _SIGNS.sub(rb"\1", part) for at, part in enumerate(parts))


def _read(folder: Traversable, prefix: str = "") -> list[tuple[str, bytes]]:
    found = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += _read(entry, f"{prefix}{entry.name}/")
        elif entry.name.rpartition(".")[2] in _TYPES:
            found.append((prefix + entry.name, entry.read_bytes()))
    return found
