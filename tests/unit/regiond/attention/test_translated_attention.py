"""What needs attention is translated on pages: its words are messages, although the API shows them in English."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest
from attrs import evolve

from common.words.operation_kinds import OperationKind
from common.words.operation_words import purpose
from development.generated.generated_section import CHECKOUT
from development.generated.text_catalogue import BELOW
from regiond.attention.model import AttentionItem, AttentionKind, ObjectType
from regiond.attention.wording import item_of
from regiond.hosts.error_details import ErrorDetails, Secret, TrustProblem
from regiond.ui.attention.attention_row import attention_row
from regiond.ui.texts import reading_in, translated
from tests.unit.regiond.attention.test_attention_of_hosts import CODES, NEW, OLD, item, trust
from tests.unit.regiond.attention.test_attention_words import NOW, found
from tests.unit.support.api_samples import ADMIN
from tests.unit.support.pseudo_language import Pseudo
from tests.unit.support.text_search import untranslated_in_python

PSEUDO = Pseudo()
# Values of the samples: names, reports of servers, commands, units.
_VALUES = re.compile(
    r"web-1|elm|volumes? a, b, c|\ba, b, c\b|smells of smoke|The guest did not report|No room|connection refused"
    r"|another certificate|not trusted yet|guest x: cannot be read|a guest|none|This deletes the guest|It says no|GB|TB"
    r"|UTC|errored|LXD|virsh/a|lxc [\w .|-]+\w|for key in [^;]+; do [^;]+; done"
    r"|innkeeper (?:vm-host|machine) [\w =:'/-]+|(ab|cd){32}"
)


def english_of(made: AttentionItem) -> list[str]:
    with reading_in(PSEUDO):
        row = attention_row(made, ADMIN)
    return english((row.item.name, row.item.what, row.item.cause, row.item.remedy))


def english(texts: Iterable[str]) -> list[str]:
    return [text for text in texts if re.search("[A-Za-z]{2}", _VALUES.sub(" ", text))]


@pytest.mark.parametrize("kind", AttentionKind)
def test_every_kind_is_translated(kind: AttentionKind) -> None:
    for broken in (True, False):
        assert english_of(item_of(evolve(found(kind), broken=broken), NOW, is_admin=True)) == []


@pytest.mark.parametrize("code", [*CODES, None])
def test_every_error_of_a_host_is_translated(code: str | None) -> None:
    for is_admin in (True, False):
        assert english_of(item(AttentionKind.HOST_UNREACHABLE, is_admin=is_admin, code=code)) == []


@pytest.mark.parametrize("problem", TrustProblem)
def test_every_problem_of_trust_is_translated(problem: TrustProblem) -> None:
    some = ErrorDetails(kind=problem, offered=NEW, pinned=OLD, reported="virsh/a", host=7, secret=Secret.PASSWORD)
    for details in (ErrorDetails(kind=problem), some):
        assert english_of(trust(details)) == []


@pytest.mark.parametrize(
    ("object_type", "name", "written"),
    [
        (ObjectType.STORAGE_POOL, "Storage pool web-1 of elm", "жжжжжжж жжжж web-1 жж elm"),
        (ObjectType.RPC_CLIENT, "RPC client web-1", "жжж жжжжжж web-1"),
        (ObjectType.OPERATION, "Task 7", "жжжж 7"),
        (ObjectType.IMAGE, "Image web-1", "жжжжж web-1"),
        (ObjectType.HOST, "Task web-1", "Task web-1"),
    ],
)
def test_names_with_words_are_translated(object_type: ObjectType, name: str, written: str) -> None:
    one = found(AttentionKind.HOST_PROBLEM)
    one = evolve(one, object_type=object_type, name=name, facts={**one.facts, "name": "web-1"})
    made = item_of(one, NOW, is_admin=True)
    assert made.name == name
    with reading_in(PSEUDO):
        assert attention_row(made, ADMIN).item.name == written


@pytest.mark.parametrize("kind", OperationKind)
def test_what_an_operation_does_is_translated(kind: OperationKind) -> None:
    with reading_in(PSEUDO):
        assert english([translated(purpose(kind.value, machine=None, host=None, request={}))]) == []


@pytest.mark.parametrize("module", BELOW)
def test_no_text_is_added_beside_the_catalogue_below_the_pages(module: str) -> None:
    assert untranslated_in_python((CHECKOUT / module).read_text(encoding="utf-8")) == []
