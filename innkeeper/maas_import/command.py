"""`innkeeper import maas`: reads what a MAAS knew, shows the plan of an import, and carries a plan out."""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from attrs import evolve

from common.errors import InnkeeperError, InvalidRequest
from common.maas.inventory import Host, Inventory
from common.serialization import to_dict
from common.words.phrases import number_of
from innkeeper.arguments import Usage
from innkeeper.commands.operation_wait import wait_for_operation
from innkeeper.http import Api
from innkeeper.maas_import.plan_text import as_html, lines_of
from innkeeper.maas_import.service import read_database, read_dump
from innkeeper.output.progress import progress_on
from innkeeper.output.terminal import Terminal
from innkeeper.profiles import Profiles
from innkeeper.request_body import Body

DONE, UNFINISHED = 0, 1
USAGE = """\
usage: innkeeper import maas (--dump FILE | --dsn DSN | --url URL --key KEY | --import ID)
                             [--watch] [--plan FILE] [--html FILE] [--choose KIND:ID=CHOICE …]
       innkeeper import maas --apply FILE [--choose KIND:ID=CHOICE …]

Reads what a MAAS knew, and prints what an import would do; nothing is imported before --apply.
  --dump FILE        of pg_dump or pg_dumpall, read here; --database NAME chooses one of several in it
  --dsn DSN          the database itself, only read; the password may be in PGPASSWORD
  --url URL          a running MAAS, which the region asks; --key: an API key of an administrator, - asks for it;
                     --ca-file FILE or --fingerprint SHA256: its certificate, if no authority has signed it
  --watch            with --url: that MAAS stays in charge of its hosts until each is taken over
  --import ID        what was read before
  --secret PATH=@FILE   the JSON of a secret that MAAS has in Vault, such as bmc/3/power-parameters=@key.json
  --plan FILE        write the plan as JSON; choices can be written into it
  --html FILE        write the plan as a page
  --choose           what becomes of a conflict, as the plan says, such as users:3=same; machines:ID=leave_out
  --apply FILE       carry out exactly that plan, or refuse
  --profile PROFILE  the region; --json prints JSON"""
_DEADLINE_S = 900.0
_MAX_FILE_BYTES = 64 * 1024
_KINDS = ("hosts", "clusters", "machines", "users", "zones", "pools", "tags", "networks")
_CHOICE = re.compile(r"[a-z]+:[^=]+=.*", re.DOTALL)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Usage(f"{message}\n{USAGE}")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="innkeeper import maas", add_help=False, allow_abbrev=False)
    for name in ("dump", "dsn", "url", "key", "database", "plan", "html", "apply", "profile", "ca-file", "fingerprint"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--import", dest="number")
    parser.add_argument("--choose", action="append", default=[])
    parser.add_argument("--secret", action="append", default=[])
    parser.add_argument("--watch", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("-h", "--help", action="store_true")
    return parser


def wanted(words: Sequence[str]) -> argparse.Namespace:
    """Returns the options of the command. Raises Usage, which also has the help."""
    found = _parser().parse_args(list(words))
    if found.help:
        return found
    sources = [name for name in ("dump", "dsn", "url", "number", "apply") if getattr(found, name) is not None]
    if len(sources) != 1:
        raise Usage(f"Give one of --dump, --dsn, --url, --import and --apply.\n{USAGE}")
    if found.apply is not None and (found.plan or found.html):
        raise Usage("--apply carries a plan out: --plan and --html are for another run.")
    if (found.url is None) != (found.key is None):
        raise Usage("--url and --key belong together.")
    if found.watch and found.url is None:
        raise Usage("--watch is for --url: only a running MAAS can be watched.")
    if found.secret and found.dump is None and found.dsn is None:
        raise Usage("--secret is for --dump and --dsn.")
    if found.database is not None and found.dump is None:
        raise Usage("--database is for --dump: a DSN has its own.")
    if found.url is None and (found.ca_file is not None or found.fingerprint is not None):
        raise Usage("--ca-file and --fingerprint are for --url.")
    if found.number is not None and not _is_number(found.number):
        raise Usage(
            f"--import needs the number of an import, not {found.number!r}. Those that there are: "
            "innkeeper maas-imports read"
        )
    for one in found.choose:
        if _CHOICE.fullmatch(one) is None:
            raise Usage(f"{one!r} is not KIND:ID=CHOICE, such as users:3=same or machines:4y3h7n=rename=web-2.")
    return found


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def main(words: Sequence[str], profiles: Profiles, terminal: Terminal) -> int:
    """Runs the command; its entry point names this. Returns the exit status."""
    from innkeeper.reactor import run as run_on_reactor  # noqa: PLC0415  # not for the help

    options = wanted(words)
    if options.help:
        terminal.say(USAGE)
        return DONE
    return run_on_reactor(lambda: run(options, profiles, terminal))


async def run(options: argparse.Namespace, profiles: Profiles, terminal: Terminal) -> int:
    """Returns the exit status: 1 if something could not be imported."""
    api = Api.of(profiles.chosen(options.profile))
    if options.apply is not None:
        return await _apply(api, Path(options.apply), options.choose, terminal)
    number = options.number if options.number is not None else await _begin(api, options, terminal)
    query = [("op", "plan"), *(("choice", one) for one in options.choose)]
    plan = (await api.send("GET", f"maas-imports/{number}/", query=query, deadline_s=_DEADLINE_S)).json()
    if options.plan is not None:
        await asyncio.to_thread(_write, Path(options.plan), json.dumps(plan, indent=1) + "\n")
    if options.html is not None:
        await asyncio.to_thread(_write, Path(options.html), as_html(plan))
    if options.json or (not terminal.wants_table and options.plan is None and options.html is None):
        terminal.say(json.dumps(plan, indent=1))
        return DONE
    terminal.say("\n".join(lines_of(plan)))
    _say_next(options, number, plan, terminal)
    return DONE


def _say_next(options: argparse.Namespace, number: str, plan: Mapping[str, Any], terminal: Terminal) -> None:
    undecided = sum(
        one["state"] == "conflict" and not one["choice"] for objects in plan["objects"].values() for one in objects
    )
    if undecided:
        terminal.note(
            f'Choose first what becomes of {number_of(undecided, "conflict")}: with --choose, or as "choice" in the '
            "file of the plan."
        )
    if options.plan is None:
        terminal.note(f"To import: innkeeper import maas --import {number} --plan FILE, then --apply FILE")
    else:
        terminal.note(f"To import: innkeeper import maas --apply {options.plan}")


async def _begin(api: Api, options: argparse.Namespace, terminal: Terminal) -> str:
    """Reads the source, and returns the id of the import."""
    if options.url is not None:
        fields = [("url", options.url), ("key", await _key(options.key, terminal))]
        if options.ca_file is not None:
            fields.append(("ca", (await asyncio.to_thread(_read, Path(options.ca_file))).decode("ascii", "replace")))
        if options.fingerprint is not None:
            fields.append(("fingerprint", options.fingerprint))
        if options.watch:
            fields.append(("watch", "true"))
        body = Body(fields=fields)
    else:
        if options.dump is not None:
            inventory = await read_dump(Path(options.dump), database=options.database)
        else:
            inventory = await read_database(options.dsn)
        inventory = with_secrets(inventory, await asyncio.to_thread(secrets_of, options.secret))
        packed = await asyncio.to_thread(lambda: gzip.compress(json.dumps(to_dict(inventory)).encode()))
        body = Body(files={"inventory": packed})
    answer = await api.send("POST", "maas-imports/", body=body, deadline_s=_DEADLINE_S)
    return str(answer.json()["id"])


async def _key(given: str, terminal: Terminal) -> str:
    if given != "-":
        return given
    if terminal.stdin.isatty():
        from getpass import getpass  # noqa: PLC0415

        return await asyncio.to_thread(getpass, "API key of MAAS: ")
    return (await asyncio.to_thread(terminal.stdin.readline)).strip()


def secrets_of(texts: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
    """Returns the secrets by their paths in Vault, from `PATH=@FILE`. Raises Usage and InvalidRequest."""
    found = {}
    for text in texts:
        path, separator, file = text.partition("=@")
        if not separator or not path or not file:
            raise Usage(f"{text!r} is not PATH=@FILE, such as bmc/3/power-parameters=@key.json.")
        try:
            values = json.loads(_read(Path(file)))
        except ValueError as error:
            raise InvalidRequest(f"{file} has no JSON: {error}.") from error
        if not isinstance(values, dict):
            raise InvalidRequest(f'{file} has no object of JSON such as {{"key": "-----BEGIN PRIVATE KEY-----…"}}.')
        found[path] = {str(name): str(value) for name, value in values.items()}
    return found


def with_secrets(inventory: Inventory, secrets: Mapping[str, Mapping[str, str]]) -> Inventory:
    """Returns the inventory with secrets that are in Vault. Raises InvalidRequest for a path that no host has."""
    paths = {path for host in inventory.hosts for path in host.vault_paths}
    unknown = sorted(set(secrets) - paths)
    if unknown:
        known = ", ".join(sorted(paths)) or "none"
        raise InvalidRequest(f"No VM host has a secret at {unknown[0]} in Vault. Paths that hosts have: {known}.")
    return evolve(inventory, hosts=tuple(_with_secrets(host, secrets) for host in inventory.hosts))


def _with_secrets(host: Host, secrets: Mapping[str, Mapping[str, str]]) -> Host:
    found: dict[str, str] = {}
    for path in host.vault_paths:
        found.update(secrets.get(path, {}))
    if not found:
        return host
    return evolve(
        host, key=found.get("key", host.key), password=found.get("password", host.password),
        power_pass=found.get("power_pass", host.power_pass),
        vault_paths=tuple(path for path in host.vault_paths if path not in secrets),
    )  # fmt: skip


def read_plan(file: Path) -> tuple[int, Mapping[str, Any]]:
    """Returns the number of the import and the plan, which the region examines. Raises InvalidRequest."""
    try:
        plan = json.loads(file.read_bytes())
        return int(plan["import"]), {**plan, "source": {"label": str(plan["source"]["label"])}}
    except OSError as error:
        raise InvalidRequest(f"Cannot read {file}: {error.strerror}.") from error
    except KeyError as error:
        message = f"{file} is no plan of an import from MAAS: it has no {error}. Make one with --plan."
        raise InvalidRequest(message) from error
    except (ValueError, TypeError) as error:
        raise InvalidRequest(f"{file} is no plan of an import from MAAS: {error}. Make one with --plan.") from error


async def _apply(api: Api, file: Path, choices: Sequence[str], terminal: Terminal) -> int:
    number, plan = await asyncio.to_thread(read_plan, file)
    body = Body(fields=[("choice", one) for one in choices], files={"plan": gzip.compress(json.dumps(plan).encode())})
    answer = await api.send(
        "POST", f"maas-imports/{number}/", query=[("op", "apply")], body=body, deadline_s=_DEADLINE_S
    )
    operation = answer.json()
    progress = progress_on(terminal)
    progress.begin(f"Operation {operation['id']} imports what {plan['source']['label']} knew.")
    try:
        ended = await wait_for_operation(api, f"operations/{operation['id']}/", progress)
    except asyncio.CancelledError:
        progress.end()
        terminal.note(f"Operation {operation['id']} continues. See: innkeeper operation read {operation['id']}")
        raise
    finally:
        progress.end()
    return await _report(api, number, ended, terminal)


async def _report(api: Api, number: int, ended: Mapping[str, Any], terminal: Terminal) -> int:
    found = (await api.get(f"maas-imports/{number}/")).json()
    present = ended.get("result", {}).get("present", {})
    if present:
        counted = (number_of(present[kind], kind[:-1]) for kind in _KINDS if present.get(kind))
        terminal.say(f"Here now: {', '.join(counted)}.")
    if found["failures"]:
        terminal.show(found["failures"], "maas-import-failures")
        if found["failed"] > len(found["failures"]):
            terminal.note(f"{len(found['failures'])} of {found['failed']} are shown.")
    if ended["state"] == "succeeded":
        return DONE
    error = ended.get("error") or {}
    terminal.note(str(error.get("message") or f"The import was {ended['state']}."))
    terminal.note(f"What is here stays. To bring the rest: innkeeper import maas --import {number} --plan FILE")
    return UNFINISHED


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_FILE_BYTES)
    except OSError as error:
        raise InnkeeperError(f"Cannot read {path}: {error.strerror}.") from error


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise InnkeeperError(f"Cannot write {path}: {error.strerror}.") from error
