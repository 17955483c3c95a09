"""Answers of the services of accounts, their roles and limits, and of the audit trail."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from common.errors import NotAuthenticated, NotFound
from regiond.accounts.belongings import Belonging
from regiond.accounts.model import ApiKey, ApiKeyView
from regiond.audit.model import RedactionReport
from regiond.requests.caller import Caller
from regiond.requests.deletion_plan import AffectedRecord
from regiond.tags.model import TaggedNodes
from tests.unit.answers.shared import DELETION_PLAN, changed, named
from tests.unit.support.api_samples import (
    ACCOUNT,
    ADMIN,
    ADMIN_ACCOUNT,
    AT,
    ATTENTION_COUNTS,
    ATTENTION_ITEM,
    AUDIT_ENTRY,
    CHAIN_REPORT,
    FILE,
    FILE_CONTENT,
    GRANT,
    LIST_COLUMNS,
    POOL,
    QUOTA,
    RAW_ENTRY,
    SAVED_FILTER,
    SESSION,
    SSH_KEY,
    TAG,
    USER,
    ZONE,
)

ADMIN_KEY = ApiKey.parse("adminconsumer:admintoken:adminsecret")
USER_KEY = ApiKey.parse("userconsumer:usertoken:usersecret")
SIGNING_KEY = ApiKey.parse("signingconsumer:signingtoken:signingsecret")
API_KEY = ApiKeyView(name="laptop", consumer_key="c", token_key=USER_KEY.token_key, created_at=AT)


def _authenticated(consumer_key: str, token_key: str, token_secret: str) -> Caller | NotAuthenticated:
    given = ApiKey(consumer_key=consumer_key, token_key=token_key, token_secret=token_secret)
    return {ADMIN_KEY: ADMIN, USER_KEY: USER}.get(given) or NotAuthenticated("Invalid API key.")


def _authenticated_signed(
    consumer_key: str, token_key: str, verify: Callable[[str], bool]
) -> Caller | NotAuthenticated:
    is_signed = verify(SIGNING_KEY.token_secret)
    is_known = (consumer_key, token_key) == (SIGNING_KEY.consumer_key, SIGNING_KEY.token_key)
    return ADMIN if is_known and is_signed else NotAuthenticated("Invalid API key.")


def _named(consumer_key: str, token_key: str) -> Caller | NotAuthenticated:
    is_known = (consumer_key, token_key) == (SIGNING_KEY.consumer_key, SIGNING_KEY.token_key)
    return ADMIN if is_known else NotAuthenticated("Invalid API key.")


ANSWERS: Mapping[str, Any] = {
    "accounts.authenticate": _authenticated,
    "accounts.named": _named,
    "accounts.authenticate_signed": _authenticated_signed,
    "accounts.create_key": "newconsumer:newtoken:newsecret",
    "accounts.delete_key": DELETION_PLAN,
    "logins.log_in": ("laptop", "newconsumer:newtoken:newsecret"),
    "accounts.list_keys": (API_KEY,),
    "sessions.list": (SESSION,),
    "sessions.end": DELETION_PLAN,
    "accounts.rename_key": API_KEY,
    "logins.change_password": None,
    "users.list": (ADMIN_ACCOUNT, ACCOUNT),
    "users.read": named({"admin": ADMIN_ACCOUNT, "ann": ACCOUNT}),
    "users.create": ACCOUNT,
    "users.update": ACCOUNT,
    "users.belongings": (Belonging(record=AffectedRecord(kind="export", id="1", name="web")),),
    "users.delete": DELETION_PLAN,
    "lists.filters": (SAVED_FILTER,),
    "lists.read_filter": lambda filter_id: SAVED_FILTER if filter_id == 9 else NotFound("Not Found"),
    "lists.save": SAVED_FILTER,
    "lists.change": SAVED_FILTER,
    "lists.delete": DELETION_PLAN,
    "lists.columns": (LIST_COLUMNS,),
    "lists.columns_of": LIST_COLUMNS,
    "lists.choose_columns": LIST_COLUMNS,
    "lists.forget_columns": DELETION_PLAN,
    "ssh_keys.list": (SSH_KEY,),
    "ssh_keys.count_of": 1,
    "ssh_keys.read": lambda _, key_id: SSH_KEY if key_id == 9 else NotFound("Not Found"),
    "ssh_keys.import_from": (SSH_KEY,),
    "ssh_keys.add": SSH_KEY,
    "ssh_keys.delete": DELETION_PLAN,
    "files.list": (FILE,),
    "files.read": lambda _, filename: FILE_CONTENT if filename == FILE.filename else NotFound("Not Found"),
    "files.read_by_key": FILE_CONTENT,
    "files.write": FILE,
    "files.delete": DELETION_PLAN,
    "grants.list": (GRANT,),
    "grants.grant": GRANT,
    "grants.revoke": DELETION_PLAN,
    "attention.items": (ATTENTION_ITEM,),
    "attention.counts": ATTENTION_COUNTS,
    "quotas.list": (QUOTA,),
    "quotas.read": lambda quota_id: QUOTA if quota_id == 1 else NotFound("There is no quota."),
    "quotas.create": QUOTA,
    "quotas.update": QUOTA,
    "quotas.delete": DELETION_PLAN,
    "groups.zones": (ZONE,),
    "groups.zone": named({"default": ZONE}),
    "groups.pools": (POOL,),
    "groups.pool": named({"default": POOL, "0": POOL}),
    **changed("groups", zone=ZONE, pool=POOL),
    "tags.list": (TAG,),
    "tags.problems": (),
    "tags.read": named({"virtual": TAG}),
    "tags.create": TAG,
    "tags.update": TAG,
    "tags.delete": DELETION_PLAN,
    "tags.update_nodes": TaggedNodes(added=1, removed=0),
    "audit.begin": 1,
    "audit.end": None,
    "audit.record": None,
    "audit.list": (AUDIT_ENTRY,),
    "audit.count": 3,
    "audit.export": (RAW_ENTRY,),
    "audit.redact": RedactionReport(requests=1),
    "audit.verify": CHAIN_REPORT,
}
