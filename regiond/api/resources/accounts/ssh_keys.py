"""`account/prefs/sshkeys/`: the caller's public SSH keys."""

from __future__ import annotations

from regiond.accounts.model import MAX_SSH_KEY
from regiond.api.declaration import crud
from regiond.api.declaration.endpoint import Resource, Result
from regiond.api.declaration.field_types import Text
from regiond.api.declaration.fields import Field
from regiond.api.declaration.serializer import array
from regiond.api.declaration.served import given, part, serve
from regiond.api.serializers.accounts import SSH_KEY_JSON
from regiond.requests.caller import Permission

_ID = part("id", number_of="SSH key")
_list = serve(lambda s: s.ssh_keys.list)
_create = serve(lambda s: s.ssh_keys.add, text=given("key"))
_import = serve(lambda s: s.ssh_keys.import_from, source=given("keysource"))
_read = serve(lambda s: s.ssh_keys.read, key_id=_ID)
_delete = serve(lambda s: s.ssh_keys.delete, key_id=_ID)


SSH_KEYS = Resource(
    handler="SSHKeysHandler",
    path="account/prefs/sshkeys/",
    doc="The caller's public SSH keys.",
    endpoints=(
        crud.list_of(SSH_KEY_JSON, _list, title="List your SSH keys", result="The keys."),
        crud.create(
            Result(doc="The key.", type=SSH_KEY_JSON),
            _create,
            title="Add an SSH key",
            permission=Permission.USER,
            fields=(
                Field(
                    "key",
                    Text(max_length=MAX_SSH_KEY),
                    "A public key as in ~/.ssh/id_ed25519.pub; RSA keys need 2048 bits or more.",
                    required=True,
                    example="ssh-ed25519 AAAA ann@laptop",
                ),
            ),
            success=201,
        ),
        crud.action(
            "import",
            Result(doc="The keys.", type=array(SSH_KEY_JSON)),
            _import,
            title="Import SSH keys from Launchpad or GitHub",
            doc="Not supported: answers 400 with what to do instead.",
            fields=(Field("keysource", Text(), "Such as gh:NAME.", default="", example="gh:ann"),),
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
