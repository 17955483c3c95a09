"""A form of one purpose in the frame of all forms: its words, and where one came from."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from regiond.api.replies import Reply
from regiond.ui.forms.edit import Edit
from regiond.ui.forms.form_field import FormField
from regiond.ui.forms.refusal import Refusal
from regiond.ui.rendering.page import Visit


@frozen(kw_only=True)
class FormFrame:
    """`word` names what the form adds or changes, `place` is where its user came from."""

    title: str
    section: str
    crumbs: Sequence[tuple[str, str]]
    place: Sequence[str | int]
    word: str
    is_new: bool = False
    note: str = ""
    columns: int = 2

    async def page(self, visit: Visit, fields: Sequence[FormField], edit: Edit, refusal: Refusal) -> Reply:
        return await visit.page(
            "edit.html",
            title=self.title,
            section=self.section,
            status=refusal.status,
            kind=self,
            found=None if self.is_new else self,
            form_fields=fields,
            edit=edit,
            problems=refusal.problems,
        )
