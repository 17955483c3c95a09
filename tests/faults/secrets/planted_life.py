"""The life of a deployment in which every secret is known: whatever happens to it, tests can search for them."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import sys
from collections.abc import Awaitable
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

from attrs import define, field

from common.errors import InnkeeperError
from common.rpc.tokens import decode_token
from development import postgres
from innkeeper.http import Api, api_url
from innkeeper.profiles import Profiles, default_path
from innkeeper.request_body import Body
from rackd.identity import load
from regiond.accounts.local_access import LOCAL_FILE
from regiond.accounts.logins import Logins
from regiond.accounts.passwords import Passwords
from regiond.accounts.service import Accounts
from regiond.accounts.sessions import Sessions
from regiond.credentials.key_pairs import KEY_NAME
from regiond.credentials.master_key import FILE, open_key_file
from regiond.credentials.seal import unseal
from regiond.db.pool import Database
from regiond.events.service import Events
from tests.deployment.deployment import Deployment
from tests.deployment.processes import Processes
from tests.deployment.runner import RACK
from tests.doubles.lxd_double import FakeLxd
from tests.faults.secrets.echoing_lxd import EchoingLxd
from tests.lab.support.key_pair import make_key_pair
from tests.lab.support.secret_search import SecretSearch
from tests.support.ports import free_port
from tests.support.rejections import rejected_status

_IMAGE = """
    insert into image
        (name, architecture, format, sha256, size_bytes, virtual_size_bytes, received_bytes, state, store_id)
    values ($1, 'amd64', 'raw', $2, $3, $3, $3, 'ready', $4)
"""
_EVENTS_AWAY, _EVENTS_BACK = "alter table event rename to event_away", "alter table event_away rename to event"


@define(kw_only=True)
class PlantedLife:
    """Each step plants secrets and adds them to `search`."""

    deployment: Deployment
    lxd: EchoingLxd
    search: SecretSearch = field(factory=SecretSearch)
    passwords: dict[str, str] = field(factory=dict)  # of users

    @property
    def folder(self) -> Path:
        return self.deployment.folder

    @property
    def processes(self) -> Processes:
        return self.deployment.processes

    def planted(self, name: str) -> str:
        """A new secret."""
        text = token_hex(16)
        self.search.add_text(name, text)
        return text

    # The deployment -------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        self.processes.start_postgres()
        parts = urlsplit(self.processes.dsn)
        phrase = self.planted("database password")
        self.processes.dsn = urlunsplit(parts._replace(netloc=f"{postgres.ROLE}:{phrase}@"))
        config = self.folder / "regiond.toml"
        config.touch(mode=0o600)
        config.write_text(f'database = "{self.processes.dsn}"\n')
        await self.processes.start_region()
        self.search.add_text("API key of admin", self.processes.api_key.split(":")[2])
        once = {"Idempotency-Key": "token of the rack"}  # so that the answer is kept
        token = (await self.deployment.post("racks/", op="token", headers=once))["token"]
        self.search.add_text("join token", decode_token(token).secret)
        await self.run(
            "rackd", "join", "--name", RACK, "-", given=token, INNKEEPER_STATE=str(self.processes.rack_state())
        )
        await self.processes.start_rack()

    async def run(
        self, program: str, *arguments: str, given: str = "", fails: bool = False, **environment: str
    ) -> None:
        """Runs a command with `given` as standard input; its output is one of the logs."""
        with (self.folder / f"command-{program}.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", program, *arguments, stdin=asyncio.subprocess.PIPE, stdout=log, stderr=log,
                env=self.processes.environment() | environment,
            )  # fmt: skip
            await process.communicate(given.encode())
        assert bool(process.returncode) is fails, (self.folder / f"command-{program}.log").read_text()[-2000:]

    async def restart(self) -> None:
        """The region is killed, then the rack."""
        self.processes.kill("region")
        await self.processes.restart("region")
        self.processes.kill(RACK)
        await self.processes.restart(RACK)

    # Users ----------------------------------------------------------------------------------------------------------

    async def add_user(self, username: str) -> None:
        self.passwords[username] = self.planted(f"password of {username}")
        fields: dict[str, Any] = {
            "username": username,
            "email": f"{username}@test",
            "password": self.passwords[username],
            "is_superuser": 0,
        }
        await self.deployment.post("users/", **fields)

    async def log_in(self, username: str) -> Api:
        """By password; returns the user's API."""
        return Api(self.stranger.url, await self._new_key(username))

    async def _new_key(self, username: str) -> str:
        fields = [("username", username), ("password", self.passwords[username]), ("consumer", "test")]
        made = (await self.login.send("POST", "accounts/authenticate/", body=Body(fields=fields))).json()
        self.search.add_text(f"login key of {username}", made["token_secret"])
        return ":".join(made[part] for part in ("consumer_key", "token_key", "token_secret"))

    @property
    def stranger(self) -> Api:
        return Api(api_url(f"http://127.0.0.1:{self.processes.http_port}/MAAS/"), None)

    @property
    def login(self) -> Api:
        """Where users log in by password."""
        return Api(self.stranger.url.removesuffix("api/2.0/"), None)

    async def fail_to_log_in(self) -> None:
        """With wrong passwords and keys, in the body, in the query and in headers."""
        for username in ("ann", "nobody"):
            fields = [("username", username), ("password", self.planted(f"wrong password of {username}"))]
            await _rejected(self.login.send("POST", "accounts/authenticate/", body=Body(fields=fields)))
            fields = [("username", username), ("password", self.planted(f"password of {username} in a query"))]
            await _rejected(self.login.send("POST", "accounts/authenticate/", query=fields))
        wrong = Api(self.stranger.url, f"{token_hex(9)}:{token_hex(9)}:{self.planted('wrong API key')}")
        await _rejected(wrong.get("machines/"))
        signed = [("oauth_consumer_key", "a"), ("oauth_token", "b"), ("oauth_signature_method", "PLAINTEXT")]
        signature = ("oauth_signature", f"&{self.planted('API key in a query')}")
        await _rejected(self.stranger.send("GET", "machines/", query=[*signed, signature]))

    async def use_the_command(self) -> None:
        """Logs in, changes the password, creates a key and an RPC client, by `innkeeper`."""
        url, ann, wrong = self.stranger.url, self.passwords["ann"], self.planted("wrong password of the command")
        await asyncio.gather(
            self.run("innkeeper", "login", "ann", url, "--username", "ann", given=ann),
            self.run("innkeeper", "login", "wrong", url, "--username", "ann", given=wrong, fails=True),
        )
        changed = self.passwords["ann"] = self.planted("new password of ann")
        change = ("ann", "account", "change-password", "current_password=-", "password=-")
        await self.run("innkeeper", *change, given=f"{ann}\n{changed}\n")
        await self.run("innkeeper", *change, given=f"{wrong}\n{changed}\n", fails=True)
        await self.run("innkeeper", "--profile", "ann", "client", "issue", "robot", "--to", str(self.folder / "robot"))
        self.search.add_key("RPC client", (self.folder / "robot" / "key.pem").read_text())

    async def use_a_session(self) -> None:
        """A session of the web pages; its cookie is also sent to the API, where it means nothing."""
        database = await Database.open(self.processes.dsn, min_size=1, max_size=2)
        passwords = Passwords()
        try:
            accounts = Accounts(database, record_event=Events.record)
            sessions = Sessions(
                database, Logins(database, accounts, passwords, record_event=Events.record), record_event=Events.record
            )
            made = await sessions.log_in("ann", self.passwords["ann"], address="127.0.0.1")
        finally:
            await passwords.stop()
            await database.close()
        self.search.add_text("session", made.token)
        self.search.add_text("CSRF secret", made.session.csrf_secret.hex())
        headers = {"Cookie": f"innkeeper_session={made.token}", "X-CSRF-Token": made.session.new_csrf_token()}
        await _rejected(self.stranger.send("GET", "machines/", headers=headers))
        await self.deployment.send("GET", "machines/", headers=headers)

    # Hosts ----------------------------------------------------------------------------------------------------------

    async def add_hosts(self) -> None:
        """Simulated, LXD with each kind of credential, libvirt over SSH; all but the first reject or do not answer."""
        own, server = make_key_pair("own"), FakeLxd(name="token")
        self.search.add_key("imported key", own.key_pem)
        token = server.token(fingerprint=self.lxd.fingerprint)
        self.search.add_text("LXD token", token[-40:].rstrip("="))
        await self.deployment.add_simulated("sim")
        lxd: dict[str, Any] = {"type": "lxd", "power_address": self.lxd.address}
        trusting = {"password": self.planted("trust password"), "trust_on_first_use": "true", "project": "trusting"}
        imported = {"certificate": own.certificate_pem, "key": own.key_pem, "project": "imported"}
        ssh = {
            "power_address": f"qemu+ssh://root@127.0.0.1:{free_port()}/system",
            "power_pass": self.planted("power_pass"),
        }
        await asyncio.gather(
            self._add(**lxd, name="unconfirmed", password=self.planted("unconfirmed trust password")),
            self._add(**lxd, name="trusting", **trusting),
            self._add(**lxd, name="by-token", password=token, project="token"),
            self._add(**lxd, name="imported", **imported),
            self._add(type="virsh", name="ssh", **ssh),
        )
        with_password = f"qemu+ssh://root:{self.planted('password in an address')}@127.0.0.1/system"
        await _rejected(self.deployment.add_host(type="virsh", power_address=with_password, name="never"))
        await self.add_sealed_keys()

    async def _add(self, name: str, **fields: Any) -> None:
        with suppress(InnkeeperError):  # whether the answer reports the host's error is not the question here
            await self.deployment.add_host(name=name, **fields)
        hosts = {host["name"]: host["id"] for host in await self.deployment.get("vm-hosts/")}
        self.deployment.hosts[name] = hosts[name]

    async def change_hosts(self) -> None:
        """Changes secrets, and refreshes hosts that reject them."""
        hosts = self.deployment.hosts
        await _any_answer(self._put("ssh", power_pass=self.planted("new power_pass")))
        await _any_answer(self._put("trusting", password=self.planted("new trust password"), trust_on_first_use="true"))
        rotation: dict[str, Any] = {"password": self.planted("rotation password")}
        await _any_answer(self.deployment.post(f"vm-hosts/{hosts['trusting']}/", op="rotate", **rotation))
        await asyncio.gather(*(_any_answer(self.deployment.refreshed(host_id)) for host_id in hosts.values()))
        await self.add_sealed_keys()

    async def _put(self, name: str, **fields: str) -> Any:
        return await self.deployment.put(f"vm-hosts/{self.deployment.hosts[name]}/", **fields)

    async def use_machines(self) -> None:
        machine = await self.deployment.compose(self.deployment.hosts["sim"], cores=1, memory=1024)
        await self.deployment.post(f"machines/{machine['system_id']}/", op="power_on")
        await _rejected(self.deployment.compose(self.deployment.hosts["sim"], cores=99))
        await _rejected(self.deployment.post("machines/", op="allocate", mem=10**6))
        await self._add_image("custom/test")
        user_data = base64.b64encode(f"#!/bin/sh\n# {self.planted('user data')}\n".encode()).decode()
        await self.deployment.post(
            f"machines/{machine['system_id']}/", op="deploy", distro_series="custom/test", user_data=user_data
        )

    async def _add_image(self, name: str) -> None:
        content = b"image" * 1000
        sha256 = hashlib.sha256(content).hexdigest()
        folder = self.folder / "state" / "images" / "sha256"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / sha256).write_bytes(content)
        async with self.deployment.connection() as db:
            await db.execute(_IMAGE, name, sha256, len(content), uuid4())

    async def mistake_fields(self) -> None:
        """Secrets in fields where they do not belong, by mistake."""
        mistaken = make_key_pair("mistaken").key_pem
        self.search.add_key("private SSH key", mistaken)
        await _rejected(self.deployment.post("account/prefs/sshkeys/", key=mistaken))
        await _rejected(self.deployment.post("zones/", name=self.planted("name of a zone") + "!"))
        await _rejected(self.deployment.post("vm-hosts/", type="lxd", power_address="/", name=self.planted("a name")))
        key = await self._new_key("ann")
        whole = Body(fields=[("token_key", key)])
        query = [("op", "delete_authorisation_token")]
        await Api(self.stranger.url, key).send("POST", "account/", query=query, body=whole)

    # Bugs -----------------------------------------------------------------------------------------------------------

    async def meet_bugs(self) -> None:
        """Requests with secrets fail with a traceback in the region; an odd answer of a host, in the rack."""
        trusting = self.deployment.hosts["trusting"]
        async with self.deployment.connection() as db:
            await db.execute(_EVENTS_AWAY)
            crashing: dict[str, Any] = {
                "username": "eve",
                "email": "eve@test",
                "password": self.planted("password at a bug"),
            }
            await _rejected(self.deployment.post("users/", **crashing, is_superuser=0), status=500)
            changed = {"password": self.planted("trust password at a bug"), "trust_on_first_use": "true"}
            await _rejected(self.deployment.put(f"vm-hosts/{trusting}/", **changed), status=500)
            sealed = {"name": "crash", "password": self.planted("host password at a bug")}
            adding = self.deployment.add_host(type="lxd", power_address="127.0.0.1:1", project="crash", **sealed)
            await _rejected(adding, status=500)
            await db.execute(_EVENTS_BACK)
        self.lxd.is_odd = True
        await _any_answer(self._put("trusting", password=self.planted("trust password at a bug of the rack")))
        await _any_answer(self.deployment.refreshed(trusting))
        self.lxd.is_odd = False

    # Secrets that the deployment made -------------------------------------------------------------------------------

    async def add_sealed_keys(self) -> None:
        """The keys that the region generated, unsealed."""
        key = open_key_file(self.folder / "state" / FILE)
        for row in await self.deployment.fetch("select id, sealed_key from key_pair where not imported"):
            self.search.add_key(f"key pair {row['id']}", unseal(key, row["id"], KEY_NAME, row["sealed_key"]))
        for row in await self.deployment.fetch(
            "select host_id, name, sealed from secret where name = 'ssh_private_key'"
        ):
            self.search.add_key("SSH key", unseal(key, row["host_id"], row["name"], row["sealed"]))

    def add_files(self) -> None:
        """The secrets in the state folders of region and rack, and in the profiles of the command."""
        state = self.folder / "state"
        self.search.add_key("rack", load(self.processes.rack_state() / "rackd").key_pem)
        self.search.add_key("authority", (state / "authority" / "authority.pem").read_text())
        self.search.add_text("master key", (state / FILE).read_text().strip())
        local = json.loads((state / LOCAL_FILE).read_text())
        self.search.add_text("key of local commands", local["key"].split(":")[2])
        for profile in Profiles(default_path(self.processes.environment())).all().values():
            self.search.add_text(f"key of the profile {profile.name}", profile.key.split(":")[2])


async def _rejected(attempt: Awaitable[object], *, status: int | None = None) -> None:
    found = await rejected_status(attempt)
    assert status in (None, found), found


async def _any_answer(attempt: Awaitable[object]) -> None:
    with suppress(InnkeeperError):
        await attempt
