"""What a hypervisor without projects and trust lists answers to those who ask for them."""

from __future__ import annotations

from typing import ClassVar

from common.errors import Unsupported
from common.values import Project


class Plain:
    """For drivers of hosts that are one place, and know who we are by other means than a list of certificates."""

    kind: ClassVar[str] = "this type"  # what such hosts are called in messages

    def projects(self) -> tuple[Project, ...]:
        return ()

    def make_project(self, description: str) -> None:
        raise Unsupported(f"Hosts of {self.kind} have no projects.")

    def trust(self, certificate_pem: str, name: str, secret: str | None) -> None:
        raise Unsupported(f"Hosts of {self.kind} keep no list of trusted certificates.")

    def untrust(self, fingerprint: str) -> None:
        raise Unsupported(f"Hosts of {self.kind} keep no list of trusted certificates.")
