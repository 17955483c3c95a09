"""Reads the metrics of one LXD server, which in a cluster only that member has."""

from __future__ import annotations

import structlog

from common.addresses.lxd import parse
from common.errors import InvalidRequest, NotFound
from rackd.drivers.lxd.connection.client import Client, Scope, path
from rackd.drivers.lxd.connection.failures import NotAuthorized
from rackd.drivers.lxd.connection.tls import CONNECT_S

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

READ_S = 20.0  # LXD asks the agents of its guests, and stores the answer for eight seconds


class MetricsReader:
    """Belongs to one driver, and is used by its thread."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._member_client: Client | None = None
        self._project = ""  # empty: of all projects

    @property
    def calls(self) -> int:
        return self._client.calls + (0 if self._member_client is None else self._member_client.calls)

    def text(self, scope: Scope) -> str:
        """Returns the metrics of the guests of all projects, or of the host's own if the certificate sees no other."""
        client = self._of_member(scope.member)
        try:
            return _read(client, self._project)
        except NotAuthorized:
            if self._project:
                raise
            self._project = scope.project
            return _read(client, self._project)

    def close(self) -> None:
        if self._member_client is not None:
            self._member_client.close()

    def _of_member(self, member: str | None) -> Client:
        """Returns a client of the server that runs the guests: a member reports nothing of the others."""
        if member is None:
            return self._client
        if self._member_client is None:
            found = self._client.get(path("cluster", "members", member))
            try:
                address = parse(str(found["url"]))
            except InvalidRequest as error:
                raise NotFound(f"The cluster has no address of its member {member}: {error}") from error
            self._member_client = self._client.at(address)
        return self._member_client


def _read(client: Client, project: str) -> str:
    response = client.request("get", "metrics", params={"project": project}, timeout=(CONNECT_S, READ_S))
    return response.content.decode("utf-8", "replace")
