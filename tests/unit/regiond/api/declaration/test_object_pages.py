"""Forms of objects follow the API: its texts are their fields, and its answers their values."""

from __future__ import annotations

from attrs import evolve

from regiond.api.declaration.field_types import Integer, Text
from regiond.api.declaration.fields import Field
from regiond.api.declaration.serializer import STR, extended, key
from regiond.api.resources.accounts.groups import POOL
from regiond.api.resources.accounts.quotas import QUOTA
from regiond.groups.model import ResourcePool
from regiond.quotas.model import Limits, Quota
from regiond.ui.forms.form_field import FormField, texts_of
from regiond.ui.settings.group_pages import POOL_KIND
from regiond.ui.settings.quota_pages import QUOTA_KIND

NAME = FormField(name="name", label="Name")
COST_CENTRE = Field(name="cost_centre", type=Text(), doc="Who pays for it.")
EMPTY_POOL = ResourcePool(id=3, name="lab", description="")


def test_a_text_that_the_api_adds_is_a_field_of_the_form() -> None:
    update = next(one for one in POOL.endpoints if one.method == "PUT")
    assert update.result.type is not None
    answer = extended(
        "PoolWithCost", update.result.type, lambda pool: pool, key("cost_centre", STR, lambda pool: f"of {pool.name}")
    )
    fields = (*update.fields, COST_CENTRE, Field(name="floor", type=Integer(), doc="No text."))
    changed = evolve(
        POOL,
        endpoints=tuple(
            evolve(one, fields=fields, result=evolve(one.result, type=answer))
            if one.name in {"read", "update"}
            else one
            for one in POOL.endpoints
        ),
    )
    shown = texts_of(changed, "PUT", NAME)
    assert [one.name for one in shown] == ["name", "description", "cost_centre"]
    assert shown[-1] == FormField(name="cost_centre", label="Cost centre", optional=True, help="Who pays for it.")
    assert evolve(POOL_KIND, one=changed).current(EMPTY_POOL, shown) == {
        "name": "lab", "description": "", "cost_centre": "of lab",
    }  # fmt: skip


def test_values_are_those_of_the_answer_or_in_the_units_of_the_form() -> None:
    quota = Quota(id=1, username="ann", limits=Limits(memory_mib=1024, storage_bytes=7 * 10**9))
    fields = [FormField(name=one, label=one) for one in ("machines", "memory", "storage")]
    assert QUOTA_KIND.current(quota, fields) == {"machines": "", "memory": "1024", "storage": "7"}
    assert QUOTA_KIND.one is QUOTA


def test_a_secret_is_never_a_value_of_a_form() -> None:
    fields = [NAME, FormField(name="password", label="Password", kind="password")]
    assert POOL_KIND.current(EMPTY_POOL, fields) == {"name": "lab"}
