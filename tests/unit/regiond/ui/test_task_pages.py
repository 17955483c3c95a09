"""Pages of tasks: an error once, details in words, a way to try again for each kind, filters from the address."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from common.guests.deployment_spec import ImageFormat, ImageRef
from common.serialization import to_dict
from common.values import GuestRef, OwnershipMarker
from common.words.operation_kinds import KIND_WORDS, OperationKind
from regiond.machines.values.bulk import BulkAction
from regiond.machines.values.clones import Copied
from regiond.machines.values.model import MachineView
from regiond.machines.values.states import MachineState
from regiond.operations.model import Child, LogLine, Operation, OperationState
from regiond.requests.caller import Caller, PoolRole
from regiond.ui.lists.task_filters import read_filters
from regiond.ui.machines.bulk.bulk_actions import ACTIONS
from regiond.ui.pages import PAGES
from regiond.ui.tasks.retry import Retry, offered_retry, retry_of
from regiond.ui.tasks.task_log import facts_of, shown_log
from regiond.ui.tasks.task_request import requested
from regiond.ui.web_request import UI, WebRequest
from tests.unit.support.api_samples import ADMIN, USER
from tests.unit.support.machine_samples import MACHINE, OPERATION

BEGAN = datetime(2026, 11, 25, tzinfo=UTC)
FAILED = evolve(OPERATION, state=OperationState.FAILED)
IMAGE = ImageRef(sha256="0" * 64, size_bytes=1, virtual_size_bytes=1, format=ImageFormat.QCOW2)
REBUILD = {"osystem": "ubuntu", "distro_series": "noble", "image": to_dict(IMAGE), "was": "deployed", "rebuild": True}
GOLD = Copied(
    machine_id=5, system_id="source", hostname="gold", disks=(), becomes=MachineState.READY,
    guest=GuestRef(name="gold", marker=OwnershipMarker(installation_id=uuid4(), machine_id=uuid4())),
)  # fmt: skip


def line(second: float, message: str, step: str | None = "power_on", **details: Any) -> LogLine:
    return LogLine(at=BEGAN + timedelta(seconds=second), attempt=1, step=step, message=message, details=details)


def attempts(number: int) -> list[LogLine]:
    return [
        one
        for second in range(number)
        for one in (line(second, "started"), line(second + 0.5, "refused", code="host_unreachable", retry_in_s=0.5))
    ]


def test_an_error_that_repeats_is_shown_once_with_how_often() -> None:
    shown = shown_log([*attempts(4), line(9, "failed", None)])
    assert [(one.text, one.times) for one in shown] == [("started", 1), ("refused", 4), ("Failed", 1)]
    assert shown[1].last_at == BEGAN + timedelta(seconds=3.5)
    assert shown[1].facts == ("tried again after 0.5 s",)
    assert [one.is_repeated for one in shown] == [False, True, False]


def test_an_attempt_that_continues_is_shown_after_the_error() -> None:
    shown = shown_log([*attempts(2), line(5, "started"), line(6, "powered on")])
    assert [one.text for one in shown] == ["started", "refused", "started", "powered on"]
    other = line(6, "another error", code="host_hung")
    shown = shown_log([*attempts(2), line(5, "started"), other])
    texts = [(one.text, one.times) for one in shown]
    assert texts == [("started", 1), ("refused", 2), ("started", 1), ("another error", 1)]


LINES = st.lists(
    st.builds(
        line,
        second=st.integers(0, 9),
        message=st.sampled_from(["started", "done", "refused", "failed"]),
        step=st.sampled_from([None, "one", "two"]),
        code=st.sampled_from([None, "busy"]),
    ),
    max_size=12,
)


@given(LINES)
def test_nothing_is_left_out_of_a_log_but_repetitions(log: list[LogLine]) -> None:
    shown = {one.text.lower() for one in shown_log(log)}
    assert shown - {"started"} == {one.message for one in log} - {"started"}
    assert sum(one.times for one in shown_log(log) if one.text != "started") == sum(
        one.message != "started" for one in log
    )


def test_details_are_words_with_units() -> None:
    details = {
        "code": "busy", "retry_in_s": 12.0, "memory_mib": 4096, "size_bytes": 5_000_000_000,
        "undone": ["claims", "disk"], "nested": {"a": 1}, "empty": [], "by": "mira", "cores": 2,
    }  # fmt: skip
    assert list(facts_of(details)) == [
        "tried again after 12 s", "Memory: 4 GiB", "Size: 5 GB", "undone: claims, disk", "by mira", "Cores: 2",
    ]  # fmt: skip


def test_a_request_is_shown_with_labels_and_units() -> None:
    task = evolve(OPERATION, request={"requested": {"hostname": "web-1", "memory_mib": 2048, "power_on": False}})
    assert requested(task) == [("Name", "web-1"), ("RAM", "2 GiB")]
    allocation = evolve(OPERATION, kind=OperationKind.ALLOCATE, request={"kind": "allocate", "name": "web-1"})
    assert requested(allocation) == [("Name", "web-1")]
    power = evolve(OPERATION, kind=OperationKind.POWER, request={"action": "force_off", "was": "failed_deployment"})
    assert requested(power) == [("Action", "power off by force"), ("State before", "failed deployment")]
    rebuild = evolve(OPERATION, kind=OperationKind.DEPLOY, request=REBUILD)
    assert requested(rebuild)[0] == ("Image", "ubuntu/noble")
    assert requested(rebuild)[-1] == ("Content of the other disks", "kept")
    assert requested(evolve(rebuild, request={**REBUILD, "rebuild": False}))[-1] == ("State before", "deployed")


def test_a_failed_rebuild_leads_to_its_question_again() -> None:
    found = retry_of(evolve(FAILED, kind=OperationKind.DEPLOY, request=REBUILD))
    assert found is not None
    assert (found.url.rpartition("/")[2], found.is_post) == ("rebuild", False)


def test_the_request_of_a_disk_says_what_becomes_of_its_content() -> None:
    volume = {"pool_id": "nvme", "volume": "data-1", "size_bytes": 5 * 10**9}
    request = {
        "disk_id": 3, "disk": {**volume, "serial": "one"}, "index": 1, "title": "data", "storage_pool": "nvme",
        "storage_pool_id": 2, "held_bytes": 5 * 10**9,
    }  # fmt: skip
    task = evolve(OPERATION, kind=OperationKind.REMOVE_DISK, request={**request, "keep": True})
    assert requested(task) == [
        ("Disk", "data"), ("Size", "5 GB"), ("Storage pool", "nvme"), ("Content of the disk", "kept"),
    ]  # fmt: skip
    deleted = evolve(task, request={**request, "keep": False})
    assert requested(deleted)[-1] == ("Content of the disk", "deleted")
    growth = {
        "disk_id": 3, "size": {**volume, "size_bytes": 7 * 10**9}, "title": "data", "storage_pool_id": 2,
        "was_bytes": 5 * 10**9, "was_pending_bytes": None,
    }  # fmt: skip
    assert requested(evolve(task, kind=OperationKind.GROW_DISK, request=growth)) == [("Disk", "data"), ("Size", "7 GB")]


REQUESTS: dict[OperationKind, dict[str, Any]] = {
    OperationKind.IMPORT: {"import": 4},
    OperationKind.BULK: {"action": "power_on", "machines": [{"system_id": "abc", "hostname": "web-1"}]},
    OperationKind.IMPORT: {"import": 4, "source": "maas.sql", "choices": []},
}


@pytest.mark.parametrize("kind", OperationKind)
def test_each_kind_that_failed_can_be_tried_again_or_says_how(kind: OperationKind) -> None:
    found = retry_of(evolve(FAILED, kind=kind, request=REQUESTS.get(kind, {"action": "on"})))
    assert found is not None
    assert found.url or found.instead
    if found.url:
        path = found.url.partition("?")[0].removeprefix(UI)
        method = "POST" if found.is_post else "GET"
        assert any(_fits(page.path, path) and page.method == method for page in PAGES), path
    assert retry_of(evolve(OPERATION, kind=kind)) is None  # it succeeded


def _fits(rule: str, path: str) -> bool:
    parts, wanted = rule.split("/"), path.split("/")
    return len(parts) == len(wanted) and all(a.startswith("<") or a == b for a, b in zip(parts, wanted, strict=True))


@pytest.mark.parametrize("kind", [one for one in OperationKind if one not in {"compose", "bulk", "clean_up", "import"}])
def test_what_is_gone_is_not_tried_again(kind: OperationKind) -> None:
    found = retry_of(evolve(FAILED, kind=kind, machine_id=None, host_id=None))
    assert found is not None
    assert (found.url, "no longer there" in found.instead) == ("", True)


def test_a_forced_power_off_is_not_repeated_without_its_question() -> None:
    found = retry_of(evolve(FAILED, kind=OperationKind.POWER, request={"action": "force_off"}))
    assert found is not None
    assert (found.is_post, found.url) == (False, f"{UI}vms/{FAILED.system_id}/act?action=off")


def test_a_failed_compose_says_that_its_vm_still_has_the_name() -> None:
    """A VM that a page or client knows of stays, until somebody deletes it."""
    request = {"requested": {"hostname": "web-1", "cores": 1, "memory_mib": 1024}}
    stays = evolve(FAILED, kind=OperationKind.COMPOSE, request=request, hostname="web-1")
    found, gone = retry_of(stays), retry_of(evolve(stays, machine_id=None))
    assert found is not None
    assert gone is not None
    assert (found.url, gone.instead) == (gone.url, "")
    assert found.instead == "web-1 was not created and keeps its name until it is deleted."


def bulk(**request: object) -> Operation:
    machines = [{"system_id": name, "hostname": name} for name in ("done", "failed", "stopped", "left")]
    return evolve(FAILED, kind=OperationKind.BULK, request={"machines": machines, "at_once": 2, **request})


def test_a_bulk_task_is_tried_again_for_the_vms_that_failed() -> None:
    states = {
        "done": OperationState.SUCCEEDED, "failed": OperationState.FAILED, "stopped": OperationState.CANCELLED,
    }  # fmt: skip
    children = [
        Child(id=number, system_id=name, hostname=name, state=state, error_message=None)
        for number, (name, state) in enumerate(states.items())
    ]
    found = retry_of(bulk(action="power_off"), children)
    assert found is not None
    assert (found.url, found.is_post) == (f"{UI}vms/bulk", True)
    chosen = [("selected", "failed"), ("selected", "stopped"), ("selected", "left")]
    assert list(found.fields) == [("action", "stop"), ("at_once", "2"), *chosen]


VIEWER = evolve(USER, grants={MACHINE.pool.id: PoolRole.VIEWER})
OPERATOR = evolve(USER, grants={MACHINE.pool.id: PoolRole.OPERATOR})
OF_ADMINISTRATORS = {"refresh", "remove_host", "rotate_credentials", "adopt", "forget", "clean_up", "import"}


@pytest.mark.parametrize("kind", OperationKind)
def test_trying_again_is_offered_only_to_whom_the_page_serves(kind: OperationKind) -> None:
    task = evolve(FAILED, kind=kind, request=REQUESTS.get(kind, {"action": "on"}))
    if kind is OperationKind.COMPOSE:
        task = evolve(task, request={"requested": {"hostname": "web-1", "cores": 1, "memory_mib": 1024}})
    own, other = evolve(MACHINE, owner=USER.username), evolve(MACHINE, owner="bob")
    free = evolve(MACHINE, owner=None, composed_by="bob", is_stock=True)

    def offers(caller: Caller, machine: MachineView | None) -> bool:
        return offered_retry(task, (), caller=caller, machine=machine) is not None

    is_general = kind in {"compose", "bulk"}
    assert offers(ADMIN, other)
    assert not offers(VIEWER, other)
    assert offers(OPERATOR, other) == offers(OPERATOR, None) == is_general
    assert offers(OPERATOR, own) == (kind not in OF_ADMINISTRATORS)
    assert offers(OPERATOR, free) == (is_general or kind in {"deploy", "allocate"})
    assert offered_retry(bulk(action="power_off"), (), caller=VIEWER, machine=None) is None


def test_a_vm_that_is_gone_is_said_to_everybody() -> None:
    gone = evolve(FAILED, kind=OperationKind.DELETE, machine_id=None)
    found = offered_retry(gone, (), caller=VIEWER, machine=None)
    assert found is not None
    assert (found.url, found.instead) == ("", "The VM is no longer there.")


def test_a_bulk_task_is_tried_again_with_its_options() -> None:
    resize = retry_of(bulk(action="resize", memory_mib=2048))
    assert resize is not None
    assert [one for one in resize.fields if one[0] != "selected"][1:] == [("at_once", "2"), ("memory", "2048")]
    disk = retry_of(bulk(action="add_disk", disk={"size_bytes": 1_500_000_000, "tags": ["a", "b"]}))
    assert disk is not None
    assert {("action", "disk"), ("size", "1.5"), ("disk_tags", "a, b")} <= {*disk.fields}
    boot = retry_of(bulk(action="set_boot", boot={"order": ["disk"], "once": True}))
    assert boot is not None
    assert {("order", "disk"), ("next_only", "true")} <= {*boot.fields}
    nic = retry_of(bulk(action="add_interface", nic={"constraint": "eth1:space=dmz"}))
    assert nic is not None
    assert ("interfaces", "eth1:space=dmz") in nic.fields
    release = retry_of(bulk(action="release", release={"erase": True, "overwrite": True}, comment="old"))
    assert release is not None
    assert {("erase", "secure"), ("force", ""), ("comment", "old")} <= {*release.fields}
    deploy = retry_of(bulk(action="deploy", image="ubuntu/noble"))
    assert deploy is not None
    assert ("distro_series", "ubuntu/noble") in deploy.fields
    assert "User data" in deploy.instead  # which is sealed, and not kept


def test_clones_are_repeated_on_their_page() -> None:
    assert retry_of(bulk(action="clone")) == Retry(url="/MAAS/ui/vms/done/clone")  # of the machine that is copied


@pytest.mark.parametrize(
    ("made", "query"),
    [
        ((), "hostname=web-1&count=4&cores=2&storage_pool=fast"),
        ((1, 2), "hostname=web-3&count=2&cores=2&storage_pool=fast"),
        ((2,), "hostname=web-1&count=1&cores=2&storage_pool=fast"),
        ((1, 3), "hostname=web-2&count=1&cores=2&storage_pool=fast"),
    ],
)
def test_the_clones_that_are_missing_are_in_the_form(made: tuple[int, ...], query: str) -> None:
    names = [f"web-{number}" for number in range(1, 5)]
    machines = [{"system_id": "source", "hostname": name} for name in names]
    task = bulk(action="clone", machines=machines, clone={"hostname": "web", "cores": 2, "storage_pool": "fast"})
    children = [
        Child(
            id=number, system_id=f"new{number}", hostname=name, error_message=None,
            state=OperationState.SUCCEEDED if number in made else OperationState.FAILED,
        )
        for number, name in enumerate(names, start=1)
    ]  # fmt: skip
    assert retry_of(task, children) == Retry(url=f"/MAAS/ui/vms/source/clone?{query}")


@pytest.mark.parametrize(
    ("held", "hint"),
    [
        ((), ""),
        ((2,), "web-2 was not created and keeps its name until it is deleted."),
        ((1, 2), "web-1, web-2 were not created and keep their names until they are deleted."),
    ],
)
def test_clones_that_failed_say_that_their_vms_still_have_the_names(held: tuple[int, ...], hint: str) -> None:
    machines = [{"system_id": "source", "hostname": f"web-{number}"} for number in range(1, 4)]
    children = [
        Child(
            id=number, system_id=f"new{number}", hostname=f"web-{number}", error_message=None,
            machine_id=number if number in {3, *held} else None,
            state=OperationState.SUCCEEDED if number == 3 else OperationState.FAILED,
        )
        for number in range(1, 4)
    ]  # fmt: skip
    found = retry_of(bulk(action="clone", machines=machines, clone={"hostname": "web"}), children)
    unnamed = retry_of(bulk(action="clone", machines=machines, clone={"cores": 1}), children)
    assert found is not None
    assert unnamed is not None
    assert (found.instead, unnamed.instead) == (hint, "")


def test_clones_without_a_name_get_new_ones() -> None:
    machines = [{"system_id": "source", "hostname": name} for name in ("bold-ant", "calm-bee", "deep-cat")]
    child = Child(
        id=1, system_id="new", hostname="calm-bee", error_message=None, state=OperationState.SUCCEEDED
    )  # fmt: skip
    found = retry_of(bulk(action="clone", machines=machines, clone={"cores": 1}), [child])
    assert found == Retry(url="/MAAS/ui/vms/source/clone?count=2&cores=1")


def test_a_clone_that_the_form_has_no_fields_for_is_sent_again() -> None:
    found = retry_of(bulk(action="clone", clone={"hostname": "web", "power_on": True}))
    assert found is not None
    assert (found.url, "no field" in found.instead) == ("", True)


def copying(**asked: object) -> Operation:
    """Returns a failed compose with a template."""
    request = {
        "copied": to_dict(GOLD),
        "asked": {"template": "gold", "hostname": "web-1", "cores": 2, "memory_mib": 0, **asked},
    }
    return evolve(FAILED, kind=OperationKind.COMPOSE, request=request, hostname="web-1", machine_id=None)


def test_a_copy_is_tried_again_as_a_clone() -> None:
    url = "/MAAS/ui/vms/source/clone?hostname=web-1&count=1&cores=2&storage_pool=fast"
    assert retry_of(copying(host_id=3, storage_pool="fast")) == Retry(url=url)


def test_a_copy_that_failed_says_that_its_vm_still_has_the_name() -> None:
    found = retry_of(evolve(copying(), machine_id=7))
    unnamed = retry_of(evolve(copying(hostname=None), machine_id=7))
    assert found is not None
    assert unnamed is not None
    assert found.instead == "web-1 was not created and keeps its name until it is deleted."
    assert unnamed.instead == "", "the next one gets a new name"


@pytest.mark.parametrize(
    "asked",
    [
        {"interfaces": "eth1:space=dmz"}, {"storage": "root:9"}, {"zone": "b"}, {"affinity": ["db"]}, {"pin_cores": 2},
        {"pinned_cores": [1]}, {"max_memory_mib": 4096}, {"tpm": True}, {"architecture": "arm64"}, {"pool": "shared"},
    ],
)  # fmt: skip
def test_a_copy_with_more_than_the_form_of_clones_has_is_sent_again(asked: dict[str, object]) -> None:
    found = retry_of(copying(**asked))
    assert found is not None
    assert (found.url, "no field" in found.instead) == ("", True)


@pytest.mark.parametrize("action", [one for one in BulkAction if one is not BulkAction.CLONE])
def test_each_bulk_action_is_one_of_the_list(action: BulkAction) -> None:
    found = retry_of(bulk(action=action.value))
    assert found is not None
    assert ACTIONS[dict(found.fields)["action"]].as_task is action


def test_each_kind_says_its_words() -> None:
    assert [kind for kind in OperationKind if kind not in KIND_WORDS] == []


def test_filters_are_those_of_the_address() -> None:
    query = {
        "q": " web ", "kind": "deploy", "state": "failed", "show": "ended", "user": "ann", "since": "2026-11-25T08:00",
    }  # fmt: skip
    filters = read_filters(WebRequest(method="GET", path="/", query=tuple(query.items())))
    assert (filters.wanted["text"], filters.wanted["kinds"], filters.wanted["username"]) == ("web", ("deploy",), "ann")
    assert filters.wanted["since"] == datetime(2026, 11, 25, 8, tzinfo=UTC)
    states = [filters.states(name) for name in ("ended", "running", "")]
    assert states == [("failed",), ("none",), ("failed",)]
    unknown = read_filters(WebRequest(method="GET", path="/", query=(("kind", "x"), ("state", "x"), ("since", "x"))))
    assert (unknown.wanted["kinds"], unknown.states("")) == ((), ())
    assert set(unknown.problems) == {"kind", "state", "since"}
    assert "not one of: " in unknown.problems["state"][0]
