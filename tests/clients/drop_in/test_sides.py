"""Which side answers a request to the drop-in address, with nginx and with HAProxy."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from tests.clients.drop_in.metal import METAL
from tests.clients.drop_in.proxies import Program
from tests.clients.drop_in.site import INNKEEPER, KEPT, MAAS, UNLISTED, Call, site
from tests.deployment.deployment import Deployment

API = "api/2.0/"
OWN = "{own}"  # replaced by the id of the machine that Innkeeper composed
BOTH = pytest.mark.parametrize("program", list(Program))
BOUNDARY = "===============7330845974216740156=="
PARTS = f'multipart/form-data; boundary="{BOUNDARY}"'


def parts(*, encoded: bool, **fields: str) -> str:
    """A form in parts: in base64, as the maas command and python-libmaas send them, or as Ansible does."""
    lines = []
    for name, value in fields.items():
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n'
        if encoded:
            head += "MIME-Version: 1.0\r\nContent-Transfer-Encoding: base64\r\n"
            head += 'Content-Type: text/plain; charset="utf-8"\r\n'
        shown = base64.encodebytes(value.encode()).decode().replace("\n", "\r\n") if encoded else value
        lines.append(f"{head}\r\n{shown}\r\n")
    return "".join(lines) + f"--{BOUNDARY}--\r\n"


def get(target: str) -> Call:
    return Call(method="GET", target=target)


def post(target: str, body: str = "", kind: str = "application/x-www-form-urlencoded") -> Call:
    return Call(method="POST", target=target, body=body, kind=kind)


# What Juju reads and writes beside machines: that is why VMs need a cloud of their own.
OF_JUJU = ("boot-resources/", "devices/", "domains/", "files/?prefix=a", "files/a/", "spaces/", "static-routes/")
# Of both proxies. A list never asks: it comes from the side of the ids that it names.
ANSWERED_BY = {
    INNKEEPER: (
        get(f"{API}vm-hosts/"),
        get(f"{API}vm-hosts/99/"),
        get(f"{API}pods/"),
        get(f"{API}pods/?op="),
        get(f"{API}vm-clusters/"),
        get(f"{API}vm-clusters/9"),
        get(f"{API}virtual-machines/"),
        get(f"{API}resourcepools/"),
        get(f"{API}resourcepool/0/"),
        get(f"{API}operations/"),
        get(f"{API}machines/{OWN}/"),
        get(f"{API}machines//{OWN}/"),
        get(f"{API}nodes/{OWN}/interfaces/"),
        get(f"{API}nodes/{OWN}/blockdevices/"),
        get(f"{API}machines/{OWN}/?op=query_power_state"),
        get(f"{API}machines/{KEPT}/"),
        get(f"{API}nodes/{KEPT}/interfaces/"),
        get(f"{API}machines/?id={OWN}"),
        get(f"{API}machines/?agent_name=model&id={KEPT}"),
        get(f"{API}machines/?op=detached"),
        post(f"{API}machines/?op=bulk", f"action=lock&machines={OWN}"),
        post(f"{API}machines/{OWN}/?op=set_owner_data", "rack=7"),
        post(f"{API}machines/{OWN}/op-set_owner_data", "rack=7"),
        post(f"{API}machines/?op=allocate", f"system_id={OWN}&dry_run=true"),
        post(f"{API}machines/?op=allocate", f"system_id={KEPT}&dry_run=true"),
        post(f"{API}machines/op-allocate", f"system_id={OWN}&dry_run=true"),
        post(f"{API}machines/?op=allocate", "pod=farm&dry_run=true"),
        post(f"{API}machines/?op=allocate", "cpu_count=1&pod_type=simulated&dry_run=true"),
        post(f"{API}machines/?op=allocate", parts(encoded=True, pod="farm", dry_run="true"), PARTS),
        post(f"{API}machines/?op=allocate", parts(encoded=False, pod_type="simulated", dry_run="true"), PARTS),
        post(f"{API}machines/?op=allocate", parts(encoded=True, dry_run="true", system_id=OWN), PARTS),
        post(f"{API}machines/?op=allocate", parts(encoded=False, dry_run="true", system_id=KEPT), PARTS),
        post(f"{API}machines/?op=release", f"machines={OWN}"),
        post(f"{API}machines/?op=release", f"machines={KEPT}&machines={OWN}"),
        post(f"{API}machines/?op=release", parts(encoded=True, machines=KEPT), PARTS),
        get("vmhost-certificate/farm"),
        get("webhook/aaaaaaaaaaaaaaaaaaaa/query"),
        post("webhook/aaaaaaaaaaaaaaaaaaaa/on"),
        get(f"{API}maas-servers/"),
        get(f"{API}maas-imports/"),
        get("ui/"),
    ),
    MAAS: (
        get(f"{API}version/"),
        get(f"{API}describe/"),
        get(f"{API}users/?op=whoami"),
        get(f"{API}account/?op=list_authorisation_tokens"),
        get(f"{API}machines/"),
        get(f"{API}machines/?agent_name=model"),
        get(f"{API}machines/op-list_allocated"),
        get(f"{API}machines/?id={METAL}"),
        get(f"{API}machines/?op=power_parameters&id={METAL}"),
        get(f"{API}machines/{METAL}/"),
        get(f"{API}machines/{UNLISTED}/"),
        get(f"{API}machines/?id={UNLISTED}"),
        get(f"{API}nodes/{METAL}/raids/"),
        post(f"{API}machines/{METAL}/?op=test"),
        get(f"{API}nodes/{METAL}/interfaces/"),
        get(f"{API}nodes/node-3b5c90f2-0d8b-11e4-8a1c-000c29b2f0a1/"),
        get(f"{API}subnets//5/"),
        get(f"{API}tags/"),
        get(f"{API}zones/"),
        *(get(f"{API}{one}") for one in OF_JUJU),
        post(f"{API}devices/", f"parent={METAL}&mac_addresses=52:54:00:00:00:02"),
        post(f"{API}machines/", "architecture=amd64/generic&mac_addresses=52:54:00:00:00:01"),
        post(f"{API}machines/{METAL}/?op=deploy", "distro_series=noble"),
        post(f"{API}machines/?op=release", f"machines={METAL}"),
        post(f"{API}machines/?op=release", parts(encoded=False, machines=METAL), PARTS),
        get("a/v3/zones"),
        get("r/machines"),
        get("metadata/latest/meta-data/"),
        get("rpc/"),
    ),
}  # fmt: skip
# Where they differ: HAProxy looks into forms, nginx cannot. An allocation that names nothing is for one side.
BY_NGINX = {
    INNKEEPER: (
        post(f"{API}machines/?op=allocate", "name=own&dry_run=true"),
        post(f"{API}machines/?op=allocate", f"system_id={METAL}&dry_run=true"),
        post(f"{API}machines/op-allocate/", "cpu_count=100&dry_run=true"),
    ),
    MAAS: (post(f"{API}machines/", f"op=allocate&system_id={OWN}&dry_run=true"),),
}
BY_HAPROXY = {
    INNKEEPER: (
        post(f"{API}machines/", f"op=allocate&system_id={OWN}&dry_run=true"),
        post(f"{API}machines/", f"op=release&machines={OWN}"),
    ),
    MAAS: (
        post(f"{API}machines/?op=allocate", f"system_id={METAL}"),
        post(f"{API}machines/?op=allocate", parts(encoded=True, system_id=METAL), PARTS),
        post(f"{API}machines/op-allocate/", f"system_id={METAL}"),
        post(f"{API}machines/?op=allocate", "name=own&dry_run=true"),
        post(f"{API}machines/?op=allocate", "cpu_count=1&dry_run=true"),
        post(f"{API}machines/op-allocate/", "cpu_count=1&dry_run=true"),
    ),
}


@BOTH
async def test_each_request_reaches_its_side(innkeeper: Deployment, tmp_path: Path, program: Program) -> None:
    differing = BY_NGINX if program is Program.NGINX else BY_HAPROXY
    wrong = []
    async with site(innkeeper, program, tmp_path) as made:
        for side in (INNKEEPER, MAAS):
            for call in (*ANSWERED_BY[side], *differing[side]):
                encoded = base64.encodebytes(made.own.encode()).decode().strip()
                body = call.body.replace(base64.encodebytes(OWN.encode()).decode().strip(), encoded)
                sent = Call(
                    method=call.method, target=call.target.replace(OWN, made.own), body=body.replace(OWN, made.own),
                    kind=call.kind,
                )  # fmt: skip
                if (found := await made.side_of(sent)) != side:
                    wrong.append((found, sent))
    assert wrong == [], "\n".join(map(str, wrong))


async def test_nginx_asks_maas_when_innkeeper_has_no_such_machine(innkeeper: Deployment, tmp_path: Path) -> None:
    """The page says when this may be chosen, and what it costs."""
    asking = {'allocate$" innkeeper;': 'allocate$" ask_409;'}
    expected = {
        "cpu_count=1&dry_run=true": INNKEEPER,
        "name=own&dry_run=true": INNKEEPER,
        "cpu_count=100&dry_run=true": MAAS,
        f"system_id={METAL}": MAAS,
        "pod=farm&cpu_count=100&dry_run=true": MAAS,  # which ignores the name of the host
    }
    async with site(innkeeper, Program.NGINX, tmp_path, changes=asking) as made:
        found = {body: await made.side_of(post(f"{API}machines/?op=allocate", body)) for body in expected}
        assert found == expected
        assert made.maas.requests[-1].body == b"pod=farm&cpu_count=100&dry_run=true", "the body is kept"


@BOTH
async def test_a_release_of_machines_of_both_changes_none(
    innkeeper: Deployment, tmp_path: Path, program: Program
) -> None:
    async with site(innkeeper, program, tmp_path) as made:
        await innkeeper.post("machines/", op="allocate", system_id=made.own)
        for machines in ((METAL, made.own), (made.own, METAL)):
            body = "&".join(f"machines={one}" for one in machines)
            answer = await made.send(post(f"{API}machines/?op=release", body))
            assert answer.status == 400, "Juju then releases each of them"
        assert (await innkeeper.get(f"machines/{made.own}/"))["status_name"] == "Allocated"
