"""English texts with the template and values they were made from, which pages translate."""

from __future__ import annotations

from collections.abc import Callable, Mapping


class Message(str):
    """A text of a template and its values; `many` is the template for several of `number`.

    It is an ordinary `str` of the English text. A message of `parts` is these with spaces between them.
    """

    __slots__ = ("many", "number", "one", "parts", "values")
    one: str
    many: str
    number: int
    values: Mapping[str, object]
    parts: tuple[str, ...]


def message(template: str, /, **values: object) -> Message:
    """Returns the template with `values` in place of their names in braces. The catalogue gets a literal template."""
    made = Message(template.format_map(values) if values else template)
    made.one, made.many, made.number, made.values, made.parts = template, "", 1, values, ()
    return made


def counted_message(one: str, many: str, number: int, /, **values: object) -> Message:
    """Returns the template for so many; `{n}` in it is the number. The catalogue gets literal templates."""
    made = Message((one if number == 1 else many).format_map({"n": f"{number:,}", **values}))
    made.one, made.many, made.number, made.values, made.parts = one, many, number, values, ()
    return made


def marked(template: str) -> str:
    """Returns the template itself: the catalogue gets it from a table, and `message` formats it later."""
    return template


def joined(*parts: str) -> Message:
    """Returns the parts that are not empty, with spaces between them; parts that are messages are translated."""
    made = Message(" ".join(filter(None, parts)))
    made.one, made.many, made.number, made.values, made.parts = "", "", 1, {}, tuple(filter(None, parts))
    return made


def said_with(
    written: str,
    text: Callable[..., str],
    counted: Callable[..., str],
) -> str:
    """Returns the text by `text` and `counted` of a catalogue; what is no message is returned as it is."""
    if not isinstance(written, Message):
        return written
    if written.parts:
        return " ".join(said_with(part, text, counted) for part in written.parts)
    values = {
        name: said_with(value, text, counted) if isinstance(value, str) else value
        for name, value in written.values.items()
    }
    if written.many:
        return counted(written.one, written.many, written.number, **values)
    return text(written.one, **values)
