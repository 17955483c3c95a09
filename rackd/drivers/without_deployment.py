"""The deployment methods of a driver whose hosts cannot be deployed to."""

from __future__ import annotations

from typing import ClassVar

from common.deployment_spec import CloudInitSeed, ImageRef
from common.errors import Unsupported
from common.guest_spec import GuestSpec
from rackd.drivers.contract import ImageContent


class WithoutDeployment:
    """Raises Unsupported."""

    kind: ClassVar[str] = "this type"  # the name of the hypervisor in messages

    def copy_image(self, image: ImageRef, pool_id: str, content: ImageContent) -> None:
        raise self._unsupported()

    def deploy(self, spec: GuestSpec, image: ImageRef, seed: CloudInitSeed) -> None:
        raise self._unsupported()

    def undeploy(self, spec: GuestSpec) -> None:
        raise self._unsupported()

    def _unsupported(self) -> Unsupported:
        return Unsupported(f"Innkeeper does not deploy to machines on hosts of {self.kind} yet.")
