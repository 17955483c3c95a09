"""`machines/{id}/?op=deploy` and `abort`, and the address at which guests report."""

from __future__ import annotations

import re

from common.errors import NotFound
from common.hosts.vm_host_report import LONGEST_PROBLEM, read_vm_host_report
from common.values import DriverType
from regiond.api.declaration import crud
from regiond.api.declaration.dry_run import MACHINE_PLAN, with_dry_run
from regiond.api.declaration.endpoint import Call, Endpoint, Resource, Result
from regiond.api.declaration.field_types import Boolean, Text
from regiond.api.declaration.fields import Field, Problems
from regiond.api.declaration.operation_wait import STARTED, answer_of, when_done
from regiond.api.declaration.served import filled, given, serve, target
from regiond.api.pipeline.request import CONTENT_TYPE
from regiond.api.replies import Reply, empty_reply, with_warnings
from regiond.api.resources.machines.hardware.disk_changes import PLAN, plan_reply
from regiond.api.resources.machines.machine_actions import COMMENT, MACHINE_RESULT, machine_now
from regiond.api.resources.shared.lookups import find_machine
from regiond.machines.values.model import MachineView
from regiond.machines.values.requests import DeployRequest
from regiond.requests.caller import Permission

_MAX_ENCODED_LENGTH = 3 * 1024 * 1024  # 1 MiB of user data in base64 twice, with line breaks
_REFUSED = {
    "ephemeral_deploy": "Innkeeper deploys to the machine's disk: leave ephemeral_deploy out.",
    "enable_hw_sync": "Innkeeper does not read a deployed machine's hardware: leave enable_hw_sync out.",
    "bridge_all": "Innkeeper makes no bridges in guests: user data of the deployment does. Leave bridge_all out.",
    "enable_kernel_crash_dump": (
        "Innkeeper does not set up kernel crash dumps: user data of the deployment does. Leave "
        "enable_kernel_crash_dump out."
    ),
    "install_rackd": "Innkeeper installs no rack controller on a machine: leave install_rackd out.",
}
_HWE_KERNEL = "hwe_kernel"
_OWN_KERNEL = "A machine boots the kernel of its image: leave hwe_kernel out, or choose another image (distro_series)."
_ID = re.compile(r"[0-9]{1,18}")
_NOT_STORED = {"Cache-Control": "no-store"}


_VM_HOSTS = {"register_vmhost": DriverType.LXD, "install_kvm": DriverType.LIBVIRT}


def _problems(call: Call) -> Problems:
    refused = {name: [reason] for name, reason in _REFUSED.items() if call.values[name]}
    if call.values[_HWE_KERNEL]:
        refused[_HWE_KERNEL] = [_OWN_KERNEL]
    if all(call.values[name] for name in _VM_HOSTS):
        return {**refused, "install_kvm": ["A machine becomes an LXD server or a libvirt host, not both: give one."]}
    return refused


def _vm_host(call: Call) -> DriverType | None:
    return next((driver for name, driver in _VM_HOSTS.items() if call.values[name]), None)


_request = filled(DeployRequest, encoded_user_data=given("user_data"), vm_host=_vm_host)


async def _deploy(call: Call) -> Reply:
    machine: MachineView = call.target
    operation = await call.services.deployments.start(
        call.caller, machine.system_id, _request(call), idempotency_key=call.idempotency_key
    )
    encode = machine_now(call)
    reply = await (when_done(call, operation, encode) if call.respond_async else answer_of(operation, encode))
    return with_warnings(reply, await login_warnings(call, machine))


async def _plan(call: Call) -> Reply:
    plan = await call.services.deployments.plan(call.caller, call.target.system_id, _request(call))
    return with_warnings(plan_reply(plan), await login_warnings(call, call.target))


async def login_warnings(call: Call, machine: MachineView) -> tuple[str, ...]:
    owner = machine.owner or call.caller.username
    if call.values["user_data"] or await call.services.ssh_keys.count_of(owner):
        return ()
    return (
        f"{owner} has no SSH key and there is no user data: nobody will be able to log in to {machine.hostname}, "
        "unless its image has an account for that. Add a key (innkeeper sshkeys create key@=FILE.pub) before you "
        "deploy it again.",
    )


async def _report(call: Call) -> Reply:
    if not _ID.fullmatch(call.path["id"]):
        raise NotFound("There is no such deployment.")
    await call.services.deployments.report(int(call.path["id"]), call.path["secret"])
    return empty_reply()


async def _user_data(call: Call) -> Reply:
    if not _ID.fullmatch(call.path["id"]):
        raise NotFound("There is no such deployment.")
    chunks = await call.services.deployments.user_data(int(call.path["id"]), call.path["secret"])
    return Reply(status=200, content_type=CONTENT_TYPE, headers=_NOT_STORED, chunks=chunks)


async def _vm_host_report(call: Call) -> Reply:
    if not _ID.fullmatch(call.path["id"]):
        raise NotFound("There is no such deployment.")
    report = read_vm_host_report(call.values)
    await call.services.deployments.report(int(call.path["id"]), call.path["secret"], vm_host=report)
    return empty_reply()


DISTRO_SERIES = Field(
    "distro_series",
    Text(max_length=256),
    "The image: noble, ubuntu/noble or custom/NAME; boot-resources/ lists them. Default: the region's.",
    recorded=True,
    default="",
    example="noble",
)
OSYSTEM = Field("osystem", Text(max_length=256), "The part before the / of distro_series.", recorded=True, default="")
USER_DATA_FIELD = Field(
    "user_data",
    Text(max_length=_MAX_ENCODED_LENGTH),
    (
        "For cloud-init, in base64 or as it is: a script, cloud-config, MIME parts or another of its formats, "
        "at most 1 MiB; in base64 also compressed with gzip. It is added to what Innkeeper configures."
    ),
    default="",
)
IMAGE_FIELDS = (DISTRO_SERIES, OSYSTEM, USER_DATA_FIELD)
DEPLOY = with_dry_run(
    Endpoint(
        method="POST",
        op="deploy",
        permission=Permission.OPERATOR,
        title="Deploy a machine",
        doc=(
            "Writes an image to the root disk, starts the machine and waits until its operating system reports by "
            "cloud-init. Answers at once: the machine is Deploying, then Deployed, or Failed deployment with the "
            "reason. A ready machine is allocated to you first. Without user data and without an SSH key of the owner, "
            "the header Warning says that nobody will be able to log in."
        ),
        fields=(
            *IMAGE_FIELDS,
            Field(
                "agent_name", Text(max_length=256), "Stored if this allocates the machine.", recorded=True, default=""
            ),
            Field(
                "register_vmhost",
                Boolean(),
                "Make the machine an LXD server and add it as a VM host. Administrators only.",
                default=False,
            ),
            Field(
                "install_kvm",
                Boolean(),
                "Make the machine a libvirt host and add it as a VM host. Administrators only.",
                default=False,
            ),
            *(Field(name, Boolean(), "Not supported: must be false.", default=False) for name in _REFUSED),
            Field(_HWE_KERNEL, Text(max_length=256), "Not supported: must be empty.", default=""),
            COMMENT,
        ),
        # Without bridge_all the first three have no effect; the last is for images of VMware.
        accepted=frozenset({"bridge_fd", "bridge_stp", "bridge_type", "vcenter_registration"}),
        result=MACHINE_RESULT,
        opens_operation=True,
        other_answers=(STARTED,),
        find=find_machine,
        check=_problems,
        run=_deploy,
    ),
    _plan,
    result=PLAN,
    doc="Change nothing; answer 200 with what would happen, or what would refuse it (default false).",
)
ABORT = with_dry_run(
    crud.action(
        "abort",
        MACHINE_RESULT,
        serve(lambda s: s.deployments.abort, "comment", system_id=target("system_id")),
        title="Abort the deployment or the compose of a machine",
        doc=(
            "Answers at once. Of a deployment, the root disk is emptied; then the machine is Allocated. Of a compose, "
            "the virtual machine is deleted; then the machine is Failed commissioning."
        ),
        fields=(COMMENT,),
        find=find_machine,
        destructive=True,
        permission=Permission.OWNER,
    ),
    crud.encoded_run(MACHINE_PLAN, serve(lambda s: s.deployments.abort_plan, system_id=target("system_id"))),
)
REPORT = Resource(
    handler="DeploymentReportHandler",
    base="/MAAS/",
    path="report/{id}/{secret}",
    doc="Where cloud-init reports that a deployed machine has booted.",
    described=False,
    endpoints=(
        Endpoint(
            method="POST",
            permission=Permission.ANYONE,
            title="Report that a machine has booted",
            doc="The address holds the secret of one deployment, which counts once.",
            other_keys=Field("key", Text(max_length=65536, strip=False), "Ignored.", default="", example="x"),
            result=crud.NOTHING,
            success=204,
            audited=False,  # the deployment's event records it
            run=_report,
        ),
    ),
)
USER_DATA = Resource(
    handler="DeploymentUserDataHandler",
    base="/MAAS/",
    path="report/{id}/{secret}/user-data",
    doc="Where cloud-init fetches user data that the machine's hypervisor does not store.",
    described=False,
    endpoints=(
        Endpoint(
            method="GET",
            permission=Permission.ANYONE,
            title="Fetch the user data of a deployment",
            doc="The address holds the secret of the deployment. Answers until the machine has booted.",
            result=Result(doc="A MIME message (application/octet-stream)."),
            run=_user_data,
        ),
    ),
)
VM_HOST_REPORT = Resource(
    handler="VmHostReportHandler",
    base="/MAAS/",
    path="report/{id}/{secret}/vm-host",
    doc="Where a deployed machine that becomes a VM host reports its hypervisor.",
    described=False,
    endpoints=(
        Endpoint(
            method="POST",
            permission=Permission.ANYONE,
            title="Report that a hypervisor was set up",
            doc="The address holds the secret of the deployment. Counts until the machine has booted.",
            fields=(
                Field("address", Text(max_length=64), "The machine's IP address.", required=True, example="10.1.0.7"),
                Field(
                    "fingerprint",
                    Text(max_length=128),
                    "Of the LXD server's certificate, or of the SSH host key.",
                    default="",
                    example="ab12",
                ),
                Field("problem", Text(max_length=LONGEST_PROBLEM), "Why it was not set up.", default=""),
            ),
            result=crud.NOTHING,
            success=204,
            audited=False,  # the deployment's event records it
            run=_vm_host_report,
        ),
    ),
)
