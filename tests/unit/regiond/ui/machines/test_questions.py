"""What cannot be undone or interrupts a guest asks first: each form of the pages asks, or is listed here as safe."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from attrs import evolve

from common.words.operation_kinds import OperationKind
from regiond.ui.forms.question import NO_UNDO, Question, refusal_of
from regiond.ui.machines.bulk.bulk_actions import ACTIONS as BULK_ACTIONS
from regiond.ui.machines.bulk.bulk_actions import split
from regiond.ui.machines.bulk.bulk_question import Running, bulk_question
from regiond.ui.machines.details.vm_form import show_or_send
from regiond.ui.machines.machine_actions import ACTIONS
from regiond.ui.machines.machine_questions import WORDS, question_of, running_since
from regiond.ui.pages import PAGES
from tests.unit.support.api_samples import ADMIN
from tests.unit.support.machine_samples import MACHINE, OPERATION
from tests.unit.support.pages.page_files import templates

TEMPLATES = Path(__file__).parents[5] / "regiond/ui/templates"
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
_FORM = re.compile(r"<form\b[^>]*\bmethod=\"post\"[^>]*>")
_ACTION = re.compile(r"\baction=\"\{\{ (?:url\(|request\.)(.*?)\)? \}\}\"")
_ASK = re.compile(r"<a\b[^>]*\bdata-ask\b")
ASKS = "asks"

# What a form that is sent does, by its template and its address. Whoever adds a form adds its line: ASKS if its handler
# answers with a question (forms/question.py) before it acts, or else why none is needed. What ASKS is sent by
# tests/integration/pages/test_web_questions.py, which finds whether it does.
FORMS = {
    ("account/clients.html", "'account', 'clients'"): "adds an RPC client, which can be revoked",
    ("account/files.html", "'account', 'files'"): "adds a file, which can be deleted",
    ("account/filter.html", "path"): "saves a search, which can be removed",
    ("account/keys.html", "'account', 'keys'"): "adds an API key, which can be deleted",
    ("account/profile.html", "'account', 'password'"): "takes the present password",
    ("account/rename_key.html", "path"): "changes a name",
    ("account/ssh_keys.html", "'account', 'ssh-keys'"): "adds an SSH key, which can be deleted",
    ("bare_error.html", ""): "repeats what the user has sent",
    ("clusters/cluster.html", "'clusters', cluster.id, 'refresh'"): "reads only",
    ("clusters/settings.html", "'clusters', cluster.id, 'maintenance'"): "opens the members again",
    ("clusters/settings.html", "'clusters', cluster.id, 'settings'"): "changes what can be changed back",
    ("components/attention.html", ""): "refreshes a host, which reads only",
    ("components/searches.html", "'account', 'filters', 'add'"): "saves a search, which can be removed",
    ("components/searches.html", "'lists', tools.place, 'columns'"): "changes what a list shows its user",
    ("components/hosts/trust.html", ""): "tries again, or is itself the comparison of the fingerprints",
    ("components/vm_table.html", "'vms', 'bulk'"): ASKS,
    ("components/vm_actions.html", "'vms', vm.system_id, 'act'"): "only what does not ask: start, lock, unlock, fixed",
    ("confirm.html", "url("): "is the question itself; its handler asks again if it is sent without confirmation",
    ("edit.html", "path"): "creates or changes an object; quotas ask before a limit below what is held",
    ("hosts/add_connection.html", "'hosts', 'add'"): "adds a host as it is, which can be removed",
    ("hosts/add_trust.html", "'hosts', 'add'"): ASKS,  # but for a first trust, of which it is the comparison
    ("hosts/host.html", "'hosts', host.id, 'maintenance'"): "opens the host again",
    ("hosts/host.html", "'hosts', host.id, 'refresh'"): "reads only",
    ("hosts/interface.html", "path"): "changes what can be changed back",
    ("hosts/list.html", "'hosts', 'bulk'"): ASKS,
    ("hosts/settings.html", "'hosts', host.id, 'maintenance'"): "opens the host again, or changes the reason",
    ("hosts/settings.html", "'hosts', host.id, 'settings'"): ASKS,
    ("hosts/settings.html", "'hosts', host.id, 'trust'"): ASKS,
    ("login.html", "'login'"): "begins a session",
    ("machines/compose/compose.html", "'compose'"): "creates a VM; the preview shows what and where",
    ("machines/deploy.html", ""): "says what is written; the VM has no content yet",
    ("machines/vm_form.html", ""): "is one of VM_FORMS",
    ("settings/maas.html", "'settings', 'maas', server.name, 'check'"): "reads only",
    ("machines/resize.html", ""): "can be changed back; RAM is never taken from a VM that runs",
    ("settings/maas_import.html", "'settings', 'maas-imports', found.id, 'compare'"): "reads only",
    ("settings/maas_import.html", ""): "is the question itself: it shows the plan",
    ("settings/maas_import_new.html", ""): "reads only",
    ("settings/import.html", ""): "makes a VM, which can be deleted",
    ("machines/disks/disks.html", "'vms', vm.system_id, 'storage', disk.id, 'boot'"): "can be changed back",
    ("machines/disks/disks.html", "'vms', vm.system_id, 'storage', disk.id, 'adopt'"): "changes nothing on the host",
    ("machines/tabs/network.html", "'vms', vm.system_id, 'network'"): "changes the default route of a deployment",
    ("machines/nics/nic.html", "'vms', vm.system_id, 'network', nic.id"): "changes what a deployment writes",
    ("machines/nics/nic.html", "'vms', vm.system_id, 'network', nic.id, 'unlink'"): "changes what a deployment writes",
    ("machines/notes/notes_form.html", "'vms', vm.system_id, 'notes'"): "changes what can be changed back",
    ("machines/owner_data.html", ""): "changes texts in a form that shows the old ones",
    ("networks/subnet.html", "'networks', 'subnets', subnet.id"): "reserves an address, which can be released",
    ("networks/device_data.html", ""): "changes texts in a form that shows the old ones",
    ("page.html", "'logout'"): "ends one's own session",
    ("send_again.html", ""): "repeats what the user has sent",
    ("settings/audit_redact.html", "url("): "is itself a question, and takes a reason",
    ("settings/discrepancy.html", "path"): "is itself a question, with the plan and the name",
    ("settings/new_image.html", "path"): "adds an image, which can be deleted",
    ("settings/rack.html", "'settings', 'racks', rack.id, 'zones'"): "changes zones, which can be changed back",
    ("settings/roles.html", "'settings', 'roles'"): "grants a role, which can be revoked",
    ("settings/token.html", "'settings', 'racks', 'token'"): "makes a token, which expires",
    ("tasks/task.html", ""): "repeats what does not ask, a start, a refresh; many VMs ask as from the list",
}  # fmt: skip
# The same of each form whose page is made from a VmForm, by its address below that of the VM.
VM_FORMS = {
    "boot": "can be changed back; a VM that runs is not disturbed",
    "clone": "composes a VM, which can be deleted",
    "edit": "changes names and groups, which can be changed back",
    "iso": "the image can be inserted and ejected again; the catalogue keeps it",
    "maas": "can be registered again; the VM goes on running",
    "network/<nic>/change": "changes network and address, which can be changed back",
    "network/add": "adds a NIC, which can be removed",
    "start-order": "can be changed back; it counts when the host starts",
    "storage/<disk>": "changes tags and name, which can be changed back",
    "storage/<disk>/grow": "says that a disk never gets smaller; no data are lost",
    "storage/<disk>/move": "moves a disk with its content, which can be moved back",
    "storage/add": "adds a disk, which can be removed",
    "storage/attach": "attaches a disk, which can be removed and kept again",
}
_LINK = re.compile(r"<a\b(?:\{\{.*?\}\}(?!\})|[^>{]|\{(?!\{))*>")  # expressions may have any character
_ADDRESS = re.compile(r"\bhref=\"\{\{ (\w+\(.*?\)) \}\}\"")
_QUERY = re.compile(r"\{[^}]*\}")
# Words of addresses at which something ends, is interrupted or is replaced.
_GRAVE = (
    "delete",
    "remove",
    "revoke",
    "end",
    "abort",
    "release",
    "rebuild",
    "cancel",
    "abandon",
    "stolen",
    "forget",
    "adopt",
    "maintenance",
)
_GRAVE_NAME = re.compile(f"['\"](?:{'|'.join(_GRAVE)})['\"]")


def found_forms() -> set[tuple[str, str]]:
    return {
        (name, (action[1] if (action := _ACTION.search(form[0])) else ""))
        for name, path in templates()
        for form in _FORM.finditer(path.read_text())
    }


def test_each_form_asks_or_says_why_it_need_not() -> None:
    assert found_forms() == set(FORMS), "list the form in FORMS: ASKS, or why no question is needed"


def test_each_form_of_a_vm_says_why_it_need_not_ask() -> None:
    handles = ((page.path, page.handle) for page in PAGES)
    found = {path for path, handle in handles if isinstance(handle, partial) and handle.func is show_or_send}
    assert found == {f"vms/<system_id>/{address}" for address in VM_FORMS}, "say in VM_FORMS why it need not ask"


@pytest.mark.parametrize("path", sorted({one.path for one in PAGES if one.path.rpartition("/")[2] in _GRAVE}))
def test_a_grave_address_shows_its_question_with_get(path: str) -> None:
    assert {one.method for one in PAGES if one.path == path} == {"GET", "POST"}


def links_without_question(template: str) -> list[str]:
    """Returns the tags of links to grave pages that open no dialog, also of links whose address a macro makes."""
    return [
        link[0]
        for link in _LINK.finditer(template)
        for address in _ADDRESS.findall(link[0])
        if _GRAVE_NAME.search(_QUERY.sub("", address)) and not _ASK.match(link[0])
    ]


@pytest.mark.parametrize(
    "link",
    [
        """<a class="b" href="{{ url('vms', vm.id, 'delete') }}">""",
        """<a href="{{ url('account', 'files', 'delete', query={'name': file.name}) }}">""",
        """<a href="{{ url('hosts', id, 'adopt', query={'guest': one.id}) }}" aria-label="{{ _('Adopt {name}') }}">""",
        """<a href="{{ nic_url(nic, 'delete') }}">""",
        """<a href="{{ url(*place, 'delete') }}">""",
    ],
)
def test_a_link_to_a_grave_page_is_found_wherever_its_word_is(link: str) -> None:
    assert links_without_question(link) == [link]
    assert links_without_question(link.replace("<a ", "<a data-ask ")) == []
    assert links_without_question("""<a href="{{ url('tasks', query={'show': 'end'}) }}">""") == []


def test_links_to_grave_pages_open_their_question_in_a_dialog() -> None:
    without = [f"{name}: {link}" for name, path in templates() for link in links_without_question(path.read_text())]
    assert without == []


def test_each_action_that_interrupts_a_vm_has_a_question() -> None:
    assert (
        {name for name, action in ACTIONS.items() if action.asks} == set(WORDS) == {"stop", "restart", "off", "broken"}
    )
    assert {name for name, action in BULK_ACTIONS.items() if not action.asks} == {"start", "lock", "unlock"}


def test_a_forced_power_off_takes_the_name_and_says_what_is_lost() -> None:
    since = NOW - timedelta(days=3)
    question = question_of("off", MACHINE, since, NOW)
    assert (question.typed, question.is_dangerous) == (MACHINE.hostname, True)
    assert "is lost" in question.effects[0]
    assert NO_UNDO in question.undo
    assert "running since 22 Nov 12:00 (3 days)" in question.subjects[0].detail
    assert question_of("stop", MACHINE, None, NOW).typed == ""


def test_a_restart_counts_as_the_beginning_of_its_run() -> None:
    on = evolve(MACHINE, power_state="on", power_changed_at=NOW - timedelta(days=9))
    restart = evolve(
        OPERATION, kind=OperationKind.POWER, request={"action": "cycle"}, finished_at=NOW - timedelta(hours=1)
    )
    assert running_since(on, ()) == NOW - timedelta(days=9)
    assert running_since(on, [restart]) == NOW - timedelta(hours=1)
    assert running_since(evolve(on, power_state="off"), [restart]) is None
    assert running_since(evolve(on, power_changed_at=None), ()) is None


def test_powering_off_many_takes_their_number_and_names_the_longest() -> None:
    machines = [evolve(MACHINE, id=n, system_id=f"vm{n}", hostname=f"vm-{n}", power_state="on") for n in range(3)]
    found = split(BULK_ACTIONS["off"], machines, ADMIN)
    running = Running(since=NOW - timedelta(days=30), name="vm-1")
    question = bulk_question(found, back="/vms?q=vm", kept={"once": "x"}, running=running, now=NOW)
    assert (question.typed, question.button, question.undo) == ("3", "Power off 3 VMs", NO_UNDO)
    assert any("vm-1 runs longest" in effect for effect in question.effects)
    assert ("selected", "vm2") in question.kept
    nothing = split(BULK_ACTIONS["off"], [evolve(MACHINE, power_state="off")], ADMIN)
    assert bulk_question(nothing, back="/vms", kept={}, running=None, now=NOW).button == ""


def test_the_answer_names_only_what_the_question_said_it_would_change() -> None:
    machines = [evolve(MACHINE, id=n, system_id=f"vm{n}", power_state=power) for n, power in enumerate(("on", "off"))]
    found = split(BULK_ACTIONS["off"], machines, ADMIN)
    question = bulk_question(found, back="/vms", kept={}, running=None, now=NOW)
    assert [value for name, value in question.kept if name == "selected"] == ["vm0"]


@pytest.mark.parametrize(("typed", "is_refused"), [("web-1", False), (" web-1 ", False), ("web", True), ("", True)])
def test_the_server_checks_the_typed_text_again(typed: str, is_refused: bool) -> None:
    question = Question(title="?", section="vms", crumbs=(), button="Do", back="/", undo="", typed="web-1")
    refusal = refusal_of(question, typed)
    assert (refusal.status == 422) is is_refused
    assert refusal_of(evolve(question, typed=""), typed).problems == {}
