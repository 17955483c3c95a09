"""Commands of a rack to a region, and the event with the addresses of all regions; released ones only grow."""

from __future__ import annotations

from attrs import field, frozen

from common.hosts.vm_host_report import VmHostReport
from common.rpc.commands.command import Command, Done


@frozen(kw_only=True)
class JoinCall:
    """The only call that a peer without a certificate may make."""

    token_secret: str = field(repr=False)
    name: str
    signing_request_pem: str


@frozen(kw_only=True)
class Joined:
    """The new rack's id, certificate and trusted authority."""

    rack_id: str
    name: str
    installation_id: str
    certificate_pem: str
    authority_pem: str


@frozen(kw_only=True)
class RenewCall:
    """A certificate signing request for the same identity."""

    signing_request_pem: str


@frozen(kw_only=True)
class Renewed:
    """The renewed certificate and the trusted authority."""

    certificate_pem: str
    authority_pem: str


@frozen(kw_only=True)
class ContentRead:
    """Asks for up to `size` bytes, at most CONTENT_PART_BYTES, of an image or of data that a call has named."""

    sha256: str
    offset: int
    size: int


@frozen(kw_only=True)
class ContentPart:
    """A part of the content; shorter than requested only at its end."""

    data: bytes = field(repr=False)


@frozen(kw_only=True)
class ReportCall:
    """The report of a guest that booted, with the secret of its deployment; with `vm_host`, that of its hypervisor."""

    deployment_id: int
    secret: str = field(repr=False)
    vm_host: VmHostReport | None = None


@frozen(kw_only=True)
class UserDataCall:
    """Asks for the user data of a guest whose hypervisor does not store it, with the secret of its deployment."""

    deployment_id: int
    secret: str = field(repr=False)


CONTENT_PART_BYTES = 512 * 1024
CONTENT_READ = Command("content.read", ContentRead, ContentPart)
DEPLOYMENT_REPORT = Command("deployment.report", ReportCall, Done)
DEPLOYMENT_USER_DATA = Command("deployment.user_data", UserDataCall, ContentPart, streams=True)
RACK_JOIN = Command("rack.join", JoinCall, Joined)
RACK_RENEW = Command("rack.renew", RenewCall, Renewed)


@frozen(kw_only=True)
class RegionAddresses:
    """Body of the link event `region.addresses`, region to rack: the addresses of all regions."""

    addresses: tuple[str, ...]


REGION_ADDRESSES = "region.addresses"
