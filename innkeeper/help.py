"""Help texts: the overview, and help on resources and actions from the region's description."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from textwrap import dedent

from innkeeper.api_description import Action, Description, Resource
from innkeeper.arguments import find_action, find_resource, usage_of

OVERVIEW = """\
usage: innkeeper PROFILE RESOURCE ACTION [NAME …] [key=value …]

  innkeeper login PROFILE URL KEY      store a region's address and API key (KEY, @FILE, or - for standard input)
  innkeeper logout PROFILE             delete a stored profile
  innkeeper profiles                   list the stored profiles
  innkeeper refresh [PROFILE]          fetch the region's list of commands again
  innkeeper rack token                 print a one-time token for: rackd join TOKEN
  innkeeper region check               list discrepancies; exit status 0: none, 1: some, 2: check failed
  innkeeper region repaired            list discrepancies repaired within the last day
  innkeeper region approve ID          show a discrepancy, ask, and repair it; --yes does not ask
  innkeeper client issue NAME          write certificate and key of an RPC client to the folder --to (default NAME)

For example:
  innkeeper login admin http://127.0.0.1:5240 @var/admin.apikey
  innkeeper admin vm-hosts read
  innkeeper admin vm-host compose 1 cores=2 memory=2048 --wait
  innkeeper admin operation read 7

Fields are key=value, repeated for lists; key@=FILE reads the value from a file.

  --json, --table      output format (default: a table on a terminal, otherwise JSON)
  --wait               wait for the operation, show its progress, and print the result
  --no-wait            start the operation and print it
  --dry-run            show what the command would do; delete shows it on a terminal and asks
  --yes                do not ask
  --profile PROFILE    for rack token, client issue and region (default: the only profile, or admin)
  --help               innkeeper PROFILE --help lists resources; also after a resource or an action
  --version            print the version

Exit status: 0 done, 1 rejected or failed, 2 usage error, 130 interrupted."""


def help_for(profile: str, description: Description, words: Sequence[str]) -> str:
    """Help on all resources, on one, or on one action. Raises Usage for an unknown resource or action."""
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
    actions = _columns((action.command, action.summary) for action in resource.actions.values())
    return "\n".join([*([resource.summary, ""] if resource.summary else []), *usage, "", *actions])


def action_help(profile: str, resource: Resource, action: Action) -> str:
    text = dedent(action.doc).strip()
    return f"usage: innkeeper {profile} {usage_of(resource, action)}" + (f"\n\n{text}" if text else "")


def _columns(rows: Iterable[tuple[str, str]]) -> list[str]:
    pairs = list(rows)
    width = max((len(name) for name, _ in pairs), default=0)
    return [f"  {name.ljust(width)}  {text}".rstrip() for name, text in pairs]
