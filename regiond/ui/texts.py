"""Texts of pages as messages of a gettext catalogue: how Python code marks them. Pure.

Templates call `_('…')` or have `{% trans %}` blocks; both translate when a page is rendered. A text that Python code
makes is marked here, and the template that shows it translates it: `_(notice)`.
"""

from __future__ import annotations


def text(message: str) -> str:
    """Returns the message. `development.text_catalogue` finds the calls: it is a literal, without values in it."""
    return message
