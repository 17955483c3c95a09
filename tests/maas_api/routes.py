"""Finds what answers a request: base, op dispatch and errors of vm-hosts.md 1, removed paths of continuity.md 1.1."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from attrs import evolve

from tests.maas_api import host_answers, machine_answers, network_answers, people_answers
from tests.maas_api.authentication import caller
from tests.maas_api.messages import HTML, Answer, Refused, Request, json_answer, refused, text_answer
from tests.maas_api.state import Maas

BASE = "/MAAS/api/2.0/"
Handler = Callable[[Maas, Request], Answer]
Operations = Mapping[tuple[str, str | None], Handler]  # by method and op

_HOST: Operations = {("GET", None): host_answers.host, ("GET", "parameters"): host_answers.parameters}
ROUTES: dict[str, Operations] = {
    r"vm-hosts/": {("GET", None): host_answers.hosts},
    r"vm-hosts/([^/]+)/": _HOST,
    r"pods/": {("GET", None): host_answers.hosts},
    r"pods/([^/]+)/": _HOST,
    r"vm-clusters/": {("GET", None): host_answers.clusters},
    r"virtual-machines/": {("GET", None): host_answers.vms},
    r"machines/": {
        ("GET", None): machine_answers.machines,
        ("GET", "power_parameters"): machine_answers.power_parameters,
    },
    r"machines/([^/]+)/": {("GET", None): machine_answers.one_machine},
    r"users/": {("GET", None): people_answers.users, ("GET", "whoami"): people_answers.whoami},
    r"account/": {("GET", "list_authorisation_tokens"): people_answers.tokens},
    r"account/prefs/sshkeys/": {("GET", None): people_answers.ssh_keys},
    r"zones/": {("GET", None): network_answers.zones},
    r"resourcepools/": {("GET", None): network_answers.pools},
    r"tags/": {("GET", None): network_answers.tags},
    r"spaces/": {("GET", None): network_answers.spaces},
    r"fabrics/": {("GET", None): network_answers.fabrics},
    r"subnets/": {("GET", None): network_answers.subnets},
    r"subnets/([^/]+)/": {("GET", "ip_addresses"): network_answers.addresses},
    r"reservedips/": {("GET", None): network_answers.reserved_ips},
    r"ipranges/": {("GET", None): network_answers.ranges},
    r"domains/": {("GET", None): network_answers.domains},
    r"dnsresources/": {("GET", None): network_answers.dns_resources},
    r"maas/": {("GET", "get_config"): network_answers.config},
}
CAPABILITIES = [
    "networks-management", "static-ipaddresses", "ipv6-deployment-ubuntu", "devices-management",
    "storage-deployment-ubuntu", "network-deployment-ubuntu", "bridging-interface-ubuntu", "bridging-automatic-ubuntu",
    "authenticate-api",
]  # fmt: skip
_OF_VM_HOSTS = re.compile(r"(vm-hosts|pods|vm-clusters|virtual-machines)(/.*)?")
_NOT_FOUND = Answer(status=404, body=b"<html><h1>Not Found</h1></html>", content_type=HTML)


def answer(maas: Maas, path: str, request: Request) -> Answer:
    """`path` is that of the URL; `request.path` is set here."""
    if not path.startswith(BASE):
        return _NOT_FOUND
    request, op = _operation(evolve(request, path=path.removeprefix(BASE)))
    request = evolve(request, op=op)
    with maas.lock:
        maas.requests.append(request)
        hooks = maas.before.get(request.path, [])
        hook = hooks.pop(0) if hooks else None
    if hook is not None:
        hook(maas)
    try:
        if request.path in maas.instead:
            return maas.instead[request.path]
        return _dispatched(maas, request)
    except Refused as error:
        return error.answer


def _dispatched(maas: Maas, request: Request) -> Answer:
    if request.path == "version/":
        return json_answer({"capabilities": CAPABILITIES, "version": maas.release.version, "subversion": ""})
    if maas.is_read_only and request.method != "GET":
        return text_answer("This MAAS is only read.", 405)
    operations, arguments = _found(maas, request)
    if operations is None:
        return text_answer(f"Unknown API endpoint: {BASE}{request.path}.", 404)
    request = evolve(request, user=caller(maas, request), arguments=arguments)
    if maas.release.vm_hosts_are_gone and _OF_VM_HOSTS.fullmatch(request.path):
        return text_answer("VM host (KVM) support has been removed from MAAS.", 410)
    return _handler(operations, request)(maas, request)


def _handler(operations: Operations, request: Request) -> Handler:
    if request.method not in {method for method, _ in operations}:
        raise refused(405, "")
    handler = operations.get((request.method, request.op))
    if handler is None:
        raise refused(400, f"Unrecognised signature: method={request.method} op={request.op}")
    return handler


def _found(maas: Maas, request: Request) -> tuple[Operations | None, tuple[str, ...]]:
    release = maas.release
    missing = {
        "vm-hosts": not release.has_vm_hosts, "pods": not release.has_pods, "vm-clusters": not release.has_clusters,
        "virtual-machines": not release.has_vms, "reservedips": not release.has_reserved_ips,
    }  # fmt: skip
    if missing.get(request.path.partition("/")[0]):
        return None, ()
    for pattern, operations in ROUTES.items():
        match = re.fullmatch(pattern, request.path)
        if match:
            return operations, match.groups()
        if re.fullmatch(pattern, f"{request.path}/") and request.method == "GET":
            raise Refused(Answer(status=301, headers={"Location": f"{BASE}{request.path}/"}))
    return None, ()


def _operation(request: Request) -> tuple[Request, str | None]:
    """The op of the query, else of the form, else of the path's end; empty counts as absent."""
    path, separator, suffix = request.path.partition("/op-")
    if separator:
        request = evolve(request, path=f"{path}/")
    for found in (request.query.get("op"), request.form.get("op"), [suffix]):
        if found and found[0]:
            return request, found[0]
    return request, None
