"""`account/prefs/sshkeys/`: the caller's public SSH keys."""

from __future__ import annotations

from regiond.accounts.model import MAX_SSH_KEY, SshKey
from regiond.api.declaration import crud
from regiond.api.declaration.dry_run import is_dry_run
from regiond.api.declaration.endpoint import Call, Endpoint, Permission, Resource, Result
from regiond.api.declaration.field_types import Text
from regiond.api.declaration.fields import Field
from regiond.api.declaration.serializer import array
from regiond.api.replies import Reply, json_reply
from regiond.api.serializers.accounts import SSH_KEY_JSON
from regiond.api.urls import id_in
from regiond.deletion_plan import DeletionPlan


async def _list(call: Call) -> tuple[SshKey, ...]:
    return await call.services.ssh_keys.list(call.caller)


async def _create(call: Call) -> Reply:
    added = await call.services.ssh_keys.add(call.caller, call.values["key"])
    return json_reply(SSH_KEY_JSON.encode(added), status=201)


async def _import(call: Call) -> tuple[SshKey, ...]:
    return await call.services.ssh_keys.import_from(call.caller, call.values["keysource"])


async def _read(call: Call) -> SshKey:
    return await call.services.ssh_keys.read(call.caller, _id(call))


async def _delete(call: Call) -> DeletionPlan:
    return await call.services.ssh_keys.delete(call.caller, _id(call), dry_run=is_dry_run(call))


def _id(call: Call) -> int:
    return id_in(call.path["id"], "SSH key")


SSH_KEYS = Resource(
    handler="SSHKeysHandler",
    path="account/prefs/sshkeys/",
    doc="The caller's public SSH keys.",
    endpoints=(
        crud.list_of(SSH_KEY_JSON, _list, title="List your SSH keys", result="The keys."),
        Endpoint(
            method="POST",
            permission=Permission.USER,
            title="Add an SSH key",
            fields=(
                Field(
                    name="key",
                    type=Text(max_length=MAX_SSH_KEY),
                    required=True,
                    doc="A public key as in ~/.ssh/id_ed25519.pub; RSA keys need 2048 bits or more.",
                    example="ssh-ed25519 AAAA ann@laptop",
                ),
            ),
            result=Result(doc="The key.", type=SSH_KEY_JSON),
            success=201,
            run=_create,
        ),
        crud.action(
            "import",
            Result(doc="The keys.", type=array(SSH_KEY_JSON)),
            _import,
            title="Import SSH keys from Launchpad or GitHub",
            doc="Not supported: answers 400 with what to do instead.",
            fields=(Field(name="keysource", type=Text(), default="", doc="Such as gh:NAME.", example="gh:ann"),),
            permission=Permission.USER,
        ),
    ),
)
SSH_KEY = Resource(
    handler="SSHKeyHandler",
    path="account/prefs/sshkeys/{id}/",
    doc="One of the caller's public SSH keys.",
    endpoints=(
        crud.read(Result(doc="The key.", type=SSH_KEY_JSON), _read, title="Read an SSH key"),
        crud.delete(_delete, title="Delete an SSH key", permission=Permission.USER),
    ),
)
RESOURCES = (SSH_KEYS, SSH_KEY)
