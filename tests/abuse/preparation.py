"""What a deployment has before it is attacked: hosts, a user with an API key, and a rack that is not to be trusted."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from urllib.parse import urlencode

from common.certificates import Credentials
from development import postgres
from rackd.enrolment import join
from rackd.identity import load
from tests.abuse.attack import Target
from tests.abuse.good_client import ADDRESS
from tests.abuse.http_wire import exchange, request
from tests.deployment.deployment import Deployment
from tests.integration.web_client import WebClient
from tests.ports import free_port

HOSTS = 2
HELD = "sim-held"
_OWN = """
    update machine set state = 'allocated', owner_id = (select id from account where username = 'user')
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
    password = secrets.token_hex(12)
    await deployment.post("users/", username="user", password=password, is_superuser="false")
    return Target(
        http_port=processes.http_port,
        rpc_port=processes.rpc_port,
        report_port=int(processes.settings["report_port"]),
        user_key=await _user_key(processes.http_port, password),
        user_cookie=await _user_cookie(processes.http_port, password),
        user_machine=await _user_machine(deployment),
        administrator_key=processes.api_key,
        rack=await _enrolled_rack(deployment),
        idle_connections=idle_connections,
    )


async def _user_key(port: int, password: str) -> str:
    """The key of the user, who gets it by name and password."""
    body = urlencode({"username": "user", "password": password}).encode()
    login = request("POST", "/MAAS/accounts/authenticate/", body=body)
    key = (await exchange(port, login, address=ADDRESS)).json()
    return ":".join(key[name] for name in ("consumer_key", "token_key", "token_secret"))


async def _user_cookie(port: int, password: str) -> str:
    """The cookie of a session of the user."""
    client = WebClient(port)
    await client.log_in("user", password)
    ((name, value),) = client.cookies.items()
    return f"{name}={value}"


async def _user_machine(deployment: Deployment) -> str:
    """The system id of a machine that is switched on, and that the user owns as after an allocation.

    Its host does not answer when it is to be switched off.
    """
    host_id = (await deployment.add_simulated(HELD))["id"]
    del deployment.hosts[HELD]  # the well-behaved client does not use it
    machine = await deployment.post(f"vm-hosts/{host_id}/", op="compose", cores=1, memory=1024, hostname="attacked")
    system_id = str(machine["system_id"])
    await deployment.post(f"machines/{system_id}/", op="power_on")
    async with deployment.connection() as db:
        await db.execute(_OWN, system_id)
    (deployment.folder / "simulated" / f"{HELD}.hold").write_text("power\n")
    return system_id


async def _enrolled_rack(deployment: Deployment) -> Credentials:
    """The certificate of a rack that serves a zone without hosts, so that no host call is due to it."""
    await deployment.post("zones/", name="empty")
    token = (await deployment.post("racks/", op="token", zones="empty"))["token"]
    folder = deployment.folder / "stolen"
    await join(token, folder, "stolen")
    return load(folder).credentials
