"""The methods about projects and trust of drivers whose hypervisors have neither."""

from __future__ import annotations

from typing import ClassVar

from common.errors import Unsupported
from common.values import Project


class WithoutProjects:
    """The project and trust methods of drivers whose hypervisors have neither."""

    kind: ClassVar[str] = "this type"  # the hypervisor's name in messages

    def projects(self) -> tuple[Project, ...]:
        return ()

    def make_project(self, description: str) -> None:
        raise Unsupported(f"Hosts of {self.kind} have no projects.")

    def trust(self, certificate_pem: str, name: str, secret: str | None) -> None:
        raise Unsupported(f"Hosts of {self.kind} have no trust store for certificates.")

    def untrust(self, fingerprint: str) -> None:
        raise Unsupported(f"Hosts of {self.kind} have no trust store for certificates.")
