"""What a deployment has before it is attacked: hosts, two users, and a rack that is not to be trusted."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from urllib.parse import urlencode

from attrs import field, frozen

from common.trust.certificates import Credentials
from development import postgres
from rackd.enrolment import join
from rackd.identity import load
from tests.abuse.attack import Target
from tests.abuse.good_client import ADDRESS
from tests.abuse.http_wire import exchange, request
from tests.deployment.deployment import Deployment
from tests.integration.support.web_client import WebClient
from tests.support.ports import free_port

HOSTS = 2
HELD = "sim-held"
_OWN = """
    update machine set state = 'allocated', owner_id = (select id from account where username = $2)
     where system_id = $1
"""


async def start(deployment: Deployment) -> None:
    """Starts all, with a PostgreSQL that does not wait for the disk, whose pauses would be taken for an attack's."""
    processes = deployment.processes
    processes.settings = _settings()
    processes.dsn = postgres.start(processes.server_folder, settings=postgres.FAST)
    await deployment.start_region_and_rack()


def _settings() -> Mapping[str, str]:
    """By default every loopback address is a trusted proxy, whose connections are not limited by address."""
    return {"trusted_proxies": "192.0.2.1", "report_port": str(free_port())}


async def prepare(deployment: Deployment, *, idle_connections: int) -> Target:
    """Adds them to a deployment that `start` has started."""
    for number in range(HOSTS):
        await deployment.add_simulated(f"sim-{number}", cores=1000, memory_mib=1024**2, storage_gb=100_000)
    processes = deployment.processes
    user, viewer = [await _account(deployment, name) for name in ("user", "viewer")]
    user_machine, viewer_machine = await _machines(deployment)
    return Target(
        http_port=processes.http_port,
        rpc_port=processes.rpc_port,
        report_port=int(processes.settings["report_port"]),
        user_key=user.key,
        user_cookie=user.cookie,
        user_machine=user_machine,
        viewer_key=viewer.key,
        viewer_cookie=viewer.cookie,
        viewer_machine=viewer_machine,
        administrator_key=processes.api_key,
        rack=await _enrolled_rack(deployment),
        idle_connections=idle_connections,
    )


@frozen(kw_only=True)
class _Account:
    """An API key, and the cookie of a session."""

    key: str = field(repr=False)
    cookie: str = field(repr=False)


async def _account(deployment: Deployment, name: str) -> _Account:
    """A new user, who gets both by name and password."""
    password, port = secrets.token_hex(12), deployment.processes.http_port
    await deployment.post("users/", username=name, password=password, is_superuser="false")
    body = urlencode({"username": name, "password": password}).encode()
    login = request("POST", "/MAAS/accounts/authenticate/", body=body)
    key = (await exchange(port, login, address=ADDRESS)).json()
    client = WebClient(port)
    await client.log_in(name, password)
    ((cookie, value),) = client.cookies.items()
    return _Account(
        key=":".join(key[part] for part in ("consumer_key", "token_key", "token_secret")), cookie=f"{cookie}={value}"
    )


async def _machines(deployment: Deployment) -> tuple[str, str]:
    """The system ids of two machines that are switched on: the first one of the user, the other one of the viewer.

    They own them as after an allocation. Their host does not answer when they are to be switched off.
    """
    host_id = (await deployment.add_simulated(HELD))["id"]
    del deployment.hosts[HELD]  # the well-behaved client does not use it
    found = []
    for owner in ("user", "viewer"):
        machine = await deployment.post(
            f"vm-hosts/{host_id}/", op="compose", cores=1, memory=1024, hostname=f"attacked-{owner}"
        )
        found.append(str(machine["system_id"]))
        await deployment.post(f"machines/{found[-1]}/", op="power_on")
        async with deployment.connection() as db:
            await db.execute(_OWN, found[-1], owner)
    (deployment.folder / "simulated" / f"{HELD}.hold").write_text("power\n")
    return found[0], found[1]


async def _enrolled_rack(deployment: Deployment) -> Credentials:
    """The certificate of a rack that serves a zone without hosts, so that no host call is due to it."""
    await deployment.post("zones/", name="empty")
    token = (await deployment.post("racks/", op="token", zones="empty"))["token"]
    folder = deployment.folder / "stolen"
    await join(token, folder, "stolen")
    return load(folder).credentials
