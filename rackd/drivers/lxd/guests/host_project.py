"""The project of a host: whether the certificate may use it, and how it is made."""

from __future__ import annotations

from collections.abc import Callable

import structlog
from attrs import frozen

from common.errors import NotFound, NotTrusted
from rackd.drivers.lxd.connection.client import Client, path
from rackd.drivers.lxd.connection.failures import Conflict, NotAuthorized

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


@frozen(kw_only=True)
class HostProject:
    """`reach` raises if the server no longer trusts the whole certificate."""

    client: Client
    name: str
    reach: Callable[[], object]

    def exists(self) -> bool:
        """A server does not tell a restricted certificate whether a project exists that it may not use."""
        try:
            return self.client.find(path("projects", self.name)) is not None
        except NotAuthorized:
            self.reach()
            return False

    def check(self) -> None:
        """Raises NotFound if the certificate may use no such project."""
        if not self.exists():
            raise NotFound(
                f"{self.client.place} has no project '{self.name}' that this certificate may use.", project=self.name
            )

    def or_visible(self) -> str:
        """Returns the project's name, or if it does not exist that of the first visible one."""
        names = sorted(str(one["name"]) for one in self.client.get("projects", recursion="1"))
        return self.name if self.name in names or not names else names[0]

    def make(self, description: str) -> None:
        """Idempotent. Raises NotTrusted with the commands for a certificate that may make none."""
        if self.exists():
            return
        try:
            self.client.post("projects", {"name": self.name, "description": description, "config": {}})
        except Conflict:
            log.info("project_already_exists", project=self.name)
        except NotAuthorized as error:
            dialect = self.client.dialect
            raise NotTrusted(
                f"{dialect.product} does not let this restricted certificate create the project '{self.name}'. On that "
                f"server: {dialect.client} project create {self.name}, then add it to the certificate's projects with "
                f"{dialect.client} config trust edit."
            ) from error
