"""What `help` and `--help` print, made from the description. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from textwrap import dedent

from innkeeper.arguments import find_action, find_resource, usage_of
from innkeeper.describe import Action, Description, Resource

OVERVIEW = """\
usage: innkeeper PROFILE RESOURCE ACTION [NAME …] [key=value …]

  innkeeper login PROFILE URL KEY      keep a region's address and API key (KEY, @FILE, or - for standard input)
  innkeeper logout PROFILE             forget them
  innkeeper profiles                   list what is kept
  innkeeper refresh [PROFILE]          fetch the list of commands anew
  innkeeper rack token                 a one-time token for: rackd join TOKEN
  innkeeper region check               where ledger and hosts differ: exit status 0 nowhere, 1 somewhere, 2 not asked
  innkeeper region mended              which differences were mended within the last day
  innkeeper region approve ID          show one, ask, and do what its remedy says; --yes does not ask
  innkeeper client issue NAME          certificate and key of an RPC client, into the folder --to (default NAME)

For example:
  innkeeper login admin http://127.0.0.1:5240 @var/admin.apikey
  innkeeper admin vm-hosts read
  innkeeper admin vm-host compose 1 cores=2 memory=2048 --wait
  innkeeper admin operation read 7

Fields are key=value, repeated for lists; key@=FILE takes the value from a file.

  --json, --table      how to print; a table is the default on a terminal, JSON elsewhere
  --wait               follow the operation, showing its progress, and print what it made
  --no-wait            start the operation and print it
  --profile PROFILE    for rack token, client issue and region; default: the only one, or admin
  --help               innkeeper PROFILE --help lists resources; it works behind a resource and an action too
  --version

Exit status: 0 done, 1 refused or failed, 2 not understood, 130 interrupted."""


def help_for(profile: str, description: Description, words: Sequence[str]) -> str:
    """Help on all resources, on one, or on one action. Raises Usage for words that name nothing."""
    if not words:
        return resources_help(profile, description.resources.values())
    resource = find_resource(description, words[0])
    if len(words) == 1:
        return resource_help(profile, resource)
    return action_help(profile, resource, find_action(resource, words[1]))


def resources_help(profile: str, resources: Iterable[Resource]) -> str:
    lines = _columns((each.command, each.summary) for each in sorted(resources, key=lambda each: each.command))
    return "\n".join([f"usage: innkeeper {profile} RESOURCE ACTION …", "", *lines])


def resource_help(profile: str, resource: Resource) -> str:
    usage = [f"  innkeeper {profile} {usage_of(resource, action)}" for action in resource.actions.values()]
    about = _columns((action.command, action.summary) for action in resource.actions.values())
    return "\n".join([*([resource.summary, ""] if resource.summary else []), *usage, "", *about])


def action_help(profile: str, resource: Resource, action: Action) -> str:
    text = dedent(action.doc).strip()
    return f"usage: innkeeper {profile} {usage_of(resource, action)}" + (f"\n\n{text}" if text else "")


def _columns(rows: Iterable[tuple[str, str]]) -> list[str]:
    pairs = list(rows)
    width = max((len(name) for name, _ in pairs), default=0)
    return [f"  {name.ljust(width)}  {text}".rstrip() for name, text in pairs]
