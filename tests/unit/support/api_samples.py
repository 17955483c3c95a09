"""One object of each other kind that the API shows (an account, a rack, an event, …), as the services return it."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from attrs import evolve

from regiond.accounts.model import Grant, ListColumns, SavedFilter, SessionView, SshKey, User
from regiond.attention.model import AttentionCounts, AttentionItem, AttentionKind, ObjectType, Severity
from regiond.audit.model import AuditAnswer, AuditEntry, AuditRequest, AuditResult, ChainReport, RawEntry
from regiond.events.model import Event, Level
from regiond.files.model import FileWithContent, StoredFile
from regiond.groups.model import ResourcePool, Zone
from regiond.images.model import Image, ImageState
from regiond.quotas.model import Holdings, Limits, Quota
from regiond.racks.model import HostReach, RackRegion, RackView, RegionView, RpcClientView
from regiond.reconciler.model import Discrepancy, DiscrepancyKind, OpenDiscrepancy
from regiond.requests.caller import Caller, PoolRole
from regiond.tags.model import Tag

AT = datetime(2026, 11, 20, 8, 30, tzinfo=UTC)
ZONE = Zone(id=1, name="default", description="")
POOL = ResourcePool(id=0, name="default", description="Default pool")
TAG = Tag(name="virtual", comment="Virtual machines")
ADMIN = Caller(account_id=1, username="admin", is_admin=True)
USER = Caller(
    account_id=2, username="ann", email="ann@example.com", is_admin=False, grants={POOL.id: PoolRole.OPERATOR}
)
GRANT = Grant(username="ann", pool_id=0, pool="default", role=PoolRole.OPERATOR, granted_at=AT, granted_by="admin")
QUOTA = Quota(id=1, account_id=2, username="ann", limits=Limits(machines=10), used=Holdings(machines=3, cores=6))
ATTENTION_ITEM = AttentionItem(
    kind=AttentionKind.VM_MISSING,
    severity=Severity.BROKEN,
    object_type=ObjectType.VM,
    object_id="wdpx3n",
    name="quick-fox",
    what="is missing from hv-01",
    cause="The last refresh of hv-01 did not list it.",
    remedy="Bring it back on the host and refresh the host, or delete it here.",
    since=AT,
    host_id=4,
    host_name="hv-01",
    pool="default",
    zone="default",
)
ATTENTION_COUNTS = AttentionCounts(kinds={AttentionKind.VM_MISSING: 1}, broken=1)
ADMIN_ACCOUNT = User(id=1, username="admin", is_admin=True, has_password=True, created_at=AT)
ACCOUNT = User(id=2, username="ann", email="ann@example.com", is_admin=False, has_password=True, created_at=AT)
FILE = StoredFile(filename="provider-state", key="0f1e2d3c", size_bytes=5, updated_at=AT)
FILE_CONTENT = FileWithContent(file=FILE, content=b"juju\xff")
SAVED_FILTER = SavedFilter(id=9, list="vms", name="failed", query="pool:staging state:failed", created_at=AT)
LIST_COLUMNS = ListColumns(list="vms", columns=("host", "owner"))
SSH_KEY = SshKey(id=9, key="ssh-ed25519 AAAA ann@laptop", fingerprint="SHA256:abc", created_at=AT)
IMAGE = Image(
    id=1000,
    name="ubuntu/noble",
    title="Noble",
    architecture="amd64",
    subarch="generic",
    filetype="qcow2",
    format=None,
    sha256="ab" * 32,
    size_bytes=8_000_000,
    virtual_size_bytes=None,
    received_bytes=4_000_000,
    state=ImageState.UPLOADING,
    error=None,
    account_id=1,
    created_at=AT,
    updated_at=AT,
    expires_at=AT,
    store_id=UUID(int=7),
)
RACK_ID = "7d1f9a52-5d1c-4b8e-9a5e-3d3a3a3a3a3a"
SESSION = SessionView(
    id=12, username="admin", created_at=AT, last_seen_at=AT, ends_at=AT, address="192.0.2.1", user_agent="Firefox"
)
RPC_CLIENT = RpcClientView(
    id=UUID("0b7b1c64-0000-4000-8000-000000000009"),
    name="east",
    username="admin",
    certificate_fingerprint="ab" * 32,
    certificate_expires_at=AT,
    issued_at=AT,
)
RACK = RackView(
    id=UUID(RACK_ID),
    name="rack-1",
    connected=True,
    joined_at=AT,
    seen_at=AT,
    certificate_fingerprint="sha256:aa",
    certificate_expires_at=AT,
    hosts_reached=1,
    hosts_unreached=1,
    release="0.1.0",
    age_s=90,
    regions=(RackRegion(id=UUID("0b7b1c64-0000-4000-8000-00000000000a"), hostname="r1", connected_at=AT),),
    hosts=(
        HostReach(
            host_id=5,
            host="hv-02",
            reaches=False,
            error_code="host_unreachable",
            error_message="no route to host",
            since=AT,
        ),
    ),
)
REGION = RegionView(
    id=UUID("0b7b1c64-0000-4000-8000-00000000000a"),
    hostname="r1",
    pid=100,
    running=True,
    here=True,
    started_at=AT,
    seen_at=AT,
    age_s=3600,
    silent_s=4,
    release="0.1.0",
    schema_number=6,
    rpc_address="r1:5241",
    api_url="http://r1:5240",
    racks=("rack-1",),
    operations=(77,),
)
AUDIT_ENTRY = AuditEntry(
    id=41,
    at=AT,
    answered_at=AT,
    request=AuditRequest(
        action="Machine.power_on",
        username="admin",
        credential="API key admintoken",
        address="192.0.2.7",
        request_id="r1",
        object="machines/wdpx3n",
        object_name="web-1",
        fields={"comment": "night shift"},
    ),
    answer=AuditAnswer(result=AuditResult.OK, status=200, operation_id=7),
)
RAW_ENTRY = RawEntry(id=41, at=AT, content='{"action":"Machine.power_on"}', previous_hash=bytes(32), hash=bytes(32))
CHAIN_REPORT = ChainReport(first_id=1, head_id=41, head_hash=bytes(32), problems=())
EVENT = Event(
    id=9,
    at=AT,
    kind="host_pinned",
    level=Level.INFO,
    message="hv-01 is trusted",
    host_id=4,
    details={"fingerprint": "ab"},
)
OPEN_DISCREPANCY = OpenDiscrepancy(
    id=3,
    discrepancy=Discrepancy(
        kind=DiscrepancyKind.MACHINE_MISSING,
        key="machine 12",
        name="quick-fox",
        host_id=4,
        host_name="hv-01",
        system_id="wdpx3n",
        found="no guest",
        expected="a guest",
        remedy="Restore the guest.",
        ours=False,
        data_at_risk=True,
        since=AT,
    ),
    first_seen_at=AT,
    last_seen_at=AT,
)
REPAIRED_DISCREPANCY = evolve(
    OPEN_DISCREPANCY, sweeps=2, repaired_at=AT, repaired="the guest was missing and has returned"
)
