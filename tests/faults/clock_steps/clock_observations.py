"""A session, an API key, the audit trail and certificates: while a clock is wrong, and when it is right again."""

from __future__ import annotations

import time
from typing import Any, Self

from attrs import field, frozen
from oauthlib.oauth1 import SIGNATURE_PLAINTEXT, Client

from common.errors import InnkeeperError
from innkeeper.http import Api
from regiond.audit.service import RETENTION
from tests.deployment.deployment import Deployment
from tests.deployment.runner import POSTGRES, REGION
from tests.integration.support.web_client import WebClient

HOUR_S = 3600
USER, PASSWORD = "clara", "ruddy-otter-47-lanterns"
_PAGE = "/MAAS/ui/overview"
_PRUNE = "select audit_prune($1::interval, 1000) as deleted"
_ATTEMPT = "select attempt from operation where id = $1"


@frozen(kw_only=True)
class Observed:
    """Begun with right clocks. `daemon` is the one whose clock is then set `step_s` ahead."""

    deployment: Deployment
    daemon: str
    step_s: int
    entries: int
    session: WebClient = field(repr=False)

    @classmethod
    async def begin(cls, deployment: Deployment, daemon: str, step_s: int) -> Self:
        made = cls(
            deployment=deployment, daemon=daemon, step_s=step_s, entries=await _entries(deployment),
            session=await _logged_in(deployment),
        )  # fmt: skip
        assert await made._session_is_open()
        return made

    async def while_wrong(self) -> None:
        """The database's clock decides about sessions, the region's about signatures."""
        idle_too_long = self.daemon == POSTGRES and self.step_s >= HOUR_S
        assert await self._session_is_open() != idle_too_long
        await _logged_in(self.deployment)
        expired = self.daemon == REGION and self.step_s > 0
        assert await self._key_is_accepted(signed_at=int(time.time())) != expired
        of_the_region = int(time.time()) + (self.step_s if self.daemon == REGION else 0)
        assert await self._key_is_accepted(signed_at=of_the_region)
        ((deleted,),) = await self.deployment.fetch(_PRUNE, RETENTION)
        assert deleted == 0
        await self._nothing_expires(signed_at=of_the_region)

    async def when_right_again(self, operation_id: int) -> None:
        """Only the database's clock can have ended a lease, if it was not renewed before anyone saw that."""
        ((attempt,),) = await self.deployment.fetch(_ATTEMPT, operation_id)
        lease_ended = self.daemon == POSTGRES and self.step_s > 0
        assert attempt == 1 or lease_ended
        assert await self._session_is_open()
        await self._nothing_expires(signed_at=int(time.time()))
        trail = await self.deployment.get("audit/", op="verify")
        assert trail["problems"] == []
        assert await _entries(self.deployment) > self.entries

    async def _session_is_open(self) -> bool:
        return (await self.session.get(_PAGE)).status == 200

    async def _key_is_accepted(self, *, signed_at: int) -> bool:
        try:
            await self._get("zones/", signed_at)
        except InnkeeperError as error:
            if "Expired timestamp" in error.message:
                return False
            raise
        return True

    async def _nothing_expires(self, *, signed_at: int) -> None:
        found = await self._get("attention/", signed_at)
        assert [one for one in found if one["kind"].endswith("certificate_expiring")] == []

    async def _get(self, path: str, signed_at: int) -> Any:
        """The answer to a client whose clock shows `signed_at`."""
        consumer, token, secret = self.deployment.processes.api_key.split(":")
        client = Client(
            consumer, resource_owner_key=token, resource_owner_secret=secret, signature_method=SIGNATURE_PLAINTEXT,
            timestamp=str(signed_at),
        )  # fmt: skip
        url = self.deployment.api.url
        _, headers, _ = client.sign(f"{url}{path}")
        return (await Api(url, None).send("GET", path, headers=headers)).json()


async def _logged_in(deployment: Deployment) -> WebClient:
    client = WebClient(deployment.processes.http_port)
    answer = await client.log_in(USER, PASSWORD)
    assert answer.status == 303, answer.text
    page = await client.get(_PAGE)
    assert page.status == 200, page.headers
    return client


async def _entries(deployment: Deployment) -> int:
    return len(await deployment.fetch("select id from audit_entry"))
