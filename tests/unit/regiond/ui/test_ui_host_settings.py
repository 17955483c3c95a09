"""The settings form of a host, its arithmetic, and what its page says about trust."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve

from common.errors import InvalidRequest
from common.hosts.capacity import Capacity, ResourceCapacity
from common.hosts.host_settings import HostLimits
from common.values import DriverType
from regiond.hosts.error_details import ErrorDetails, TrustProblem
from regiond.hosts.model import HostState, HostView
from regiond.ui.forms.question import Question
from regiond.ui.hosts.host_questions import asks_on_add, settings_question, trust_question
from regiond.ui.hosts.overcommit import ratio_text, sums
from regiond.ui.hosts.settings_form import changes_of, check_fields, limits_of, values_of
from regiond.ui.hosts.trust_advice import advice_of
from regiond.ui.hosts.trust_view import Expiry, trust_view
from tests.unit.support.host_samples import HOST

NOW = datetime(2026, 11, 21, tzinfo=UTC)
OLD, NEW = "ab" * 32, "cd" * 32
LXD = evolve(HOST, driver=DriverType.LXD, pinned_fingerprint=OLD)


def rejected(details: ErrorDetails | None, host: HostView = LXD, code: str = "peer_changed") -> HostView:
    return evolve(host, error_code=code, error_message="It rejects us.", error_details=details)


def test_tags_that_every_host_has_are_not_edited() -> None:
    assert values_of(evolve(HOST, tags=("gold", "pod-console-logging")))["tags"] == "gold"


def test_zone_and_pool_of_a_member_are_its_clusters() -> None:
    assert {"zone", "pool"} <= values_of(HOST).keys()
    assert not {"zone", "pool"} & values_of(evolve(HOST, cluster_id=2)).keys()


def test_changes_are_told_in_words_in_the_order_of_the_form() -> None:
    values = {**values_of(HOST), "autostart": "never", "tags": "", "cpu_over_commit_ratio": "1"}
    told = [(one.label, one.before, one.after) for one in changes_of(HOST, values)]
    assert told == [
        ("Tags", "virtual", "none"),
        ("VMs when it starts", "as the installation is set", "stays off"),
    ]


@pytest.mark.parametrize(
    ("field", "text", "problem"),
    [("reserved_cores", "99", "99"), ("reserved_memory", "much", "number"), ("cpu_over_commit_ratio", "11", "10")],
)
def test_what_cannot_be_saved_is_refused_before_the_review(field: str, text: str, problem: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check_fields(HOST, {field: text})
    assert problem in refused.value.fields[field][0]


def test_a_review_asks_for_the_password_again() -> None:
    changes = changes_of(HOST, {"name": "hv-02"})
    review = settings_question(HOST, changes, (), [("name", "hv-02")], has_password=True)
    assert review.title == "Save 2 changes of hv-01?"
    assert [one.name for one in review.fields] == ["power_pass"]
    assert "power_pass" in review.secrets
    assert settings_question(HOST, changes, (), (), has_password=False).fields == ()


@pytest.mark.parametrize("typed", ["", "1.", "-1", "11", "nan", "1e1", "10.5"])
def test_an_incomplete_ratio_counts_as_the_stored_one(typed: str) -> None:
    assert limits_of(HOST, {"cpu_over_commit_ratio": typed}).cpu_over_commit_ratio == HOST.cpu_over_commit_ratio


@pytest.mark.parametrize(("typed", "ratio"), [("0", 0.0), ("0.3", 0.3), ("10", 10.0)])
def test_a_complete_ratio_counts(typed: str, ratio: float) -> None:
    assert limits_of(HOST, {"cpu_over_commit_ratio": typed}).cpu_over_commit_ratio == ratio


@pytest.mark.parametrize(("ratio", "text"), [(1, "1.0"), (2.5, "2.5"), (0.25, "0.25"), (10.0, "10.0")])
def test_a_ratio_has_one_decimal_unless_it_has_more(ratio: float, text: str) -> None:
    assert ratio_text(ratio) == text


def test_the_sum_has_the_regions_numbers() -> None:
    limits = HostLimits(cpu_over_commit_ratio=2, memory_over_commit_ratio=1, reserved_cores=4, reserved_memory_mib=1024)
    cores = ResourceCapacity(total=62, claimable=116, claimed=52, elsewhere=8, free=56)
    memory = ResourceCapacity(total=9216, claimable=4096, claimed=5120, elsewhere=1024)
    host = evolve(HOST, capacity=Capacity(), huge_memory_mib=4096)
    cpu, ram = sums(host, limits, Capacity(cores=cores, memory_mib=memory))
    assert (cpu.usable, cpu.reserved, cpu.ratio, cpu.placeable, cpu.claimed) == ("62", "4", "2.0", "116", "60")
    assert (cpu.new.free, cpu.new.over, cpu.is_changed) == ("56", None, True)
    assert (ram.usable, ram.reserved, ram.placeable, ram.claimed, ram.new.over) == ("5", "1", "4", "6", "2")


def test_a_changed_certificate_is_offered_with_both_fingerprints() -> None:
    details = ErrorDetails(kind=TrustProblem.IDENTITY_CHANGED, pinned=OLD, offered=NEW)
    view = trust_view(rejected(details), {}, NOW)
    assert (view.pinned, view.presented, view.may_accept) == (OLD, NEW, True)


def test_a_changed_ssh_host_key_is_offered() -> None:
    key = "SHA256:" + "a" * 43
    host = evolve(LXD, driver=DriverType.LIBVIRT)
    details = ErrorDetails(kind=TrustProblem.IDENTITY_CHANGED, offered=key)
    view = trust_view(rejected(details, host), {}, NOW)
    assert (view.server_kind, view.presented) == ("SSH host key", key)


def test_nothing_is_offered_for_another_error() -> None:
    details = ErrorDetails(kind=TrustProblem.NOT_TRUSTED, offered=NEW)
    view = trust_view(rejected(details, code="not_trusted"), {}, NOW)
    assert (view.presented, view.is_waiting) == ("", True)


def test_a_token_of_another_server_is_no_reason_to_accept_this_one() -> None:
    details = ErrorDetails(kind=TrustProblem.TOKEN_OF_OTHER_SERVER, offered=NEW, expected=OLD)
    view = trust_view(rejected(details, evolve(LXD, pinned_fingerprint=None)), {}, NOW)
    assert (view.shown, view.expected, view.may_accept, view.asks_for_trust) == (NEW, OLD, False, True)


@pytest.mark.parametrize(
    ("details", "field", "value"),
    [
        (ErrorDetails(kind=TrustProblem.SERVER_UNCONFIRMED, reported="virsh/a", host=7), "host", "7"),
        (ErrorDetails(kind=TrustProblem.SERVER_CHANGED, reported="lxd/a b", known="lxd/c"), "identity", "lxd/a b"),
    ],
)
def test_an_unconfirmed_server_is_offered_for_confirmation(details: ErrorDetails, field: str, value: str) -> None:
    view = trust_view(rejected(details, code="server_unconfirmed"), {}, NOW)
    assert view.confirmation is not None
    assert (view.confirmation.field, view.confirmation.value, view.asks_for_trust) == (field, value, False)


@pytest.mark.parametrize("problem", list(TrustProblem))
def test_each_problem_says_what_to_do_next(problem: TrustProblem) -> None:
    details = ErrorDetails(kind=problem, pinned=OLD, offered=NEW, expected=OLD, reported="virsh/a", host=7)
    advice = advice_of(rejected(details))
    assert advice is not None
    assert advice.title
    assert advice.found.endswith(".")
    assert advice.todo.endswith(".")


def test_an_error_without_details_asks_for_a_refresh() -> None:
    advice = advice_of(rejected(None))
    assert advice is not None
    assert (advice.place, "earlier release" in advice.found) == ("retry", True)


def test_a_message_of_no_known_problem_is_shown_itself() -> None:
    advice = advice_of(rejected(ErrorDetails(), code="not_trusted"))
    assert advice is not None
    assert (advice.found, advice.place) == ("It rejects us.", "retry")


@pytest.mark.parametrize(
    ("host", "why"),
    [
        (evolve(LXD, error_code="host_unreachable", error_details=ErrorDetails()), "not reached"),
        (evolve(rejected(None), state=HostState.REMOVING), "being removed"),
        (LXD, "well"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_no_advice_where_nobody_has_to_make_it_trusted(host: HostView, why: str) -> None:
    assert advice_of(host) is None, why


@pytest.mark.parametrize(
    ("days", "text", "soon"), [(-1, "expired", True), (1, "1 day", True), (5, "5 days", True), (90, "90 days", False)]
)
def test_the_expiry_of_both_certificates_is_told(days: int, text: str, soon: bool) -> None:
    at = NOW + timedelta(days=days, hours=1)
    ours = trust_view(evolve(LXD, certificate_expires_at=at), {}, NOW)
    assert (ours.expiry, ours.pinned_expiry) == (Expiry(at=at, left=text, is_soon=soon), None)
    pinned = trust_view(evolve(LXD, pinned_expires_at=at, certificate_expires_at=None), {}, NOW)
    assert (pinned.expiry, pinned.pinned_expiry) == (None, ours.expiry)


def trust_asked(host: HostView, action: str, **sent: str) -> Question:
    question = trust_question(host, trust_view(host, {}, NOW), action, sent)
    assert question is not None
    return question


def test_a_changed_certificate_is_accepted_beside_the_pinned_one() -> None:
    host = rejected(ErrorDetails(kind=TrustProblem.IDENTITY_CHANGED, pinned=OLD, offered=NEW))
    question = trust_asked(host, "accept", fingerprint=NEW)
    assert question.title == "Accept another certificate of hv-01?"
    assert [(one.label, one.before, one.after) for one in question.changes] == [("Pinned certificate", OLD, NEW)]
    assert (question.is_dangerous, question.kept) == (True, (("action", "accept"), ("fingerprint", NEW)))
    assert trust_asked(host, "accept").kept == question.kept


def test_an_unknown_certificate_is_accepted_beside_the_expected_one() -> None:
    details = ErrorDetails(kind=TrustProblem.IDENTITY_UNEXPECTED, offered=NEW, expected=OLD)
    question = trust_asked(rejected(details, evolve(LXD, pinned_fingerprint=None)), "accept", fingerprint=NEW)
    assert question.title == "Accept this certificate of hv-01?"
    assert [(one.label, one.before, one.after) for one in question.changes] == [("Expected certificate", OLD, NEW)]


def test_a_pinned_certificate_is_confirmed_with_its_fingerprint() -> None:
    question = trust_asked(LXD, "accept", fingerprint=OLD)
    assert (question.title, question.subjects[0].name) == ("Confirm the certificate of hv-01?", OLD)
    assert "lxc info" in question.effects[0]


def test_which_server_a_host_is_shows_both_identities() -> None:
    details = ErrorDetails(kind=TrustProblem.SERVER_CHANGED, known="one", reported="two")
    question = trust_asked(rejected(details), "confirm", field="identity", value="two")
    assert [(one.before, one.after) for one in question.changes] == [("one", "two")]
    assert question.kept == (("action", "confirm"), ("field", "identity"), ("value", "two"))
    details = ErrorDetails(kind=TrustProblem.SERVER_UNCONFIRMED, known="one", reported="two", host=7)
    question = trust_asked(rejected(details), "confirm")
    assert (question.title, question.changes[0].after) == ("Is hv-01 the server of host 7?", "two")


def test_the_page_that_adds_a_host_asks_unless_the_trust_is_the_first() -> None:
    changed = trust_view(rejected(ErrorDetails(kind=TrustProblem.IDENTITY_CHANGED, pinned=OLD, offered=NEW)), {}, NOW)
    assert asks_on_add(changed, "accept", NEW)
    assert asks_on_add(changed, "accept", OLD)  # of a page from before the change
    first, none = trust_view(LXD, {}, NOW), trust_view(evolve(LXD, pinned_fingerprint=None), {}, NOW)
    assert (asks_on_add(first, "accept", OLD), asks_on_add(none, "accept", NEW)) == (False, False)
    assert (asks_on_add(first, "confirm", ""), asks_on_add(changed, "retry", "")) == (True, False)


def test_nothing_is_accepted_where_nothing_was_shown() -> None:
    host = evolve(LXD, pinned_fingerprint=None)
    assert trust_question(host, trust_view(host, {}, NOW), "accept", {}) is None
    assert trust_question(host, trust_view(host, {}, NOW), "confirm", {}) is None
