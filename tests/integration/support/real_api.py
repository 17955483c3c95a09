"""The API over the services of a region, without a network."""

from __future__ import annotations

from typing import Any

from attrs import define, evolve

from regiond.accounts.model import ApiKey
from regiond.api.services import Services
from tests.deployment.deployment import Deployment
from tests.support.administrators import API_KEY_FILE
from tests.unit.support.api_double import ApiDouble


@define(kw_only=True)
class RealApi(ApiDouble):
    real: Services

    def services(self) -> Services:
        return self.real

    @classmethod
    def of(cls, region: Deployment, **services: Any) -> RealApi:
        """With some `services` replaced."""
        return cls(real=evolve(region.region.components.services, **services))


def admin_key(region: Deployment) -> ApiKey:
    return ApiKey.parse((region.in_process.settings.state / API_KEY_FILE).read_text())
