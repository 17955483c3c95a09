"""Help texts: the overview, and help on resources and actions from the region's description."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from textwrap import dedent

from innkeeper.api_description import Action, Description, Resource
from innkeeper.arguments import find_action, find_resource, usage_of

OVERVIEW = """\
usage: innkeeper [PROFILE] RESOURCE ACTION [NAME …] [key=value …]

  innkeeper login PROFILE URL          log in by user name and password, or API key, and store the key
  innkeeper login PROFILE URL -        store a region's address and the API key on standard input; @FILE: in a file
      --ca-file FILE, --fingerprint SHA256   the certificate of an https URL, if no authority of this computer signed it
  innkeeper logout PROFILE             delete a stored profile
  innkeeper profiles                   list the stored profiles; also: innkeeper list
  innkeeper profiles default PROFILE   choose the profile of commands that name none (default: the only one, or admin)
  innkeeper refresh [PROFILE]          fetch the region's list of commands again
  innkeeper rack token                 print a one-time token for: innkeeper rack join -
  innkeeper rack join -                on the rack's machine: join with the token on standard input; @FILE: in a file
  innkeeper region init                on the region's machine: create roles, database, tables and administrator
  innkeeper region migrate             on the region's machine: change the schema of the database to this release's
  innkeeper region admin create        on the region's machine: create the first administrator, or --username NAME
  innkeeper region backup FILE         on the region's machine: save database, keys and settings; --images: images too
  innkeeper region verify-backup FILE  on any machine with regiond: read a backup to its end and show what it contains
  innkeeper region restore FILE        on a region's machine, with an empty database: restore a backup
  innkeeper region recovered           on a region's machine: after PostgreSQL recovered the database to a point in time
  innkeeper region upgrade-check       on a region's machine, with the new build: what would stop it; -o json
  innkeeper region check               list discrepancies; exit status 0: none, 1: some, 2: check failed
  innkeeper region repaired            list discrepancies repaired within the last day
  innkeeper region approve ID          show a discrepancy, ask, and repair it; --yes does not ask
  innkeeper region audit export        print the audit trail as JSON lines; after=ID continues
  innkeeper import maas --dump FILE    show what an import from MAAS would bring; --plan, --apply; --help says more
  innkeeper completion SHELL           print a script for bash, zsh or fish: source <(innkeeper completion bash)
  innkeeper client issue NAME          write certificate and key of an RPC client to the folder --to (default NAME)

For example:
  innkeeper login admin http://127.0.0.1:5240 @var/admin.apikey
  innkeeper vm-hosts read
  innkeeper vm-host compose 1 cores=2 memory=2048 --wait
  innkeeper operation read 7

Fields are key=value, repeated for lists (or 0-3,5); key@=FILE reads the value from a file. Sizes: 2G, 500M, 1T.
password=- asks for it without echo, or reads a line of standard input: others can see arguments.
An action of one object takes several: innkeeper admin machine power-off abc123 def456

  --json, --table      output format (default: a table on a terminal, otherwise JSON);
  --format FORMAT      the same: json, table or yaml
  --all                show everything; by default a read shows what matters, as far as it fits
  --columns a,b        show only these columns
  --sort COLUMN        sort rows by a column; -COLUMN: descending
  --watch[=N]          read again and redraw every 2 (N) seconds until Ctrl-C
  --wait               wait for the operation, show its progress, and print the result (default on a terminal)
  --no-wait            start the operation and print it
  --dry-run            show what the command would do; what deletes shows it on a terminal and asks
  --filter KEY=VALUE   all objects that the region lists so: innkeeper admin machines power-off --filter pool=lab
  --idempotency-key KEY   for a script that repeats a change: it is carried out once for the key (default: a new key)
  --output FILE        of machine export and export download: the file, whose hash is compared
  --yes                do not ask
  --profile PROFILE    for rack token, client issue and region (default: the default profile)
  --username NAME      for login and region admin create; the password is read from the terminal or standard input
  --help               innkeeper PROFILE --help lists resources; also after a resource or an action
  --version            print the version

Exit status: 0 done, 1 rejected or failed, 2 usage error, 3 not allowed, 4 not found, 5 conflict, 6 not now,
7 no answer, 8 still running, 130 interrupted."""


def help_for(profile: str, description: Description, words: Sequence[str]) -> str:
    """Help on all resources, on one, or on one action; `profile` may be empty. Raises Usage for an unknown word."""
    if not words:
        return resources_help(profile, description.offered)
    resource = find_resource(description, words[0])
    if len(words) == 1:
        return resource_help(profile, resource)
    return action_help(profile, resource, find_action(resource, words[1]))


def resources_help(profile: str, resources: Iterable[Resource]) -> str:
    lines = _columns((each.command, each.summary) for each in sorted(resources, key=lambda each: each.command))
    return "\n".join([f"usage: {_command(profile)} RESOURCE ACTION …", "", *lines])


def resource_help(profile: str, resource: Resource) -> str:
    usage = [f"  {_command(profile)} {usage_of(resource, action)}" for action in resource.actions.values()]
    actions = _columns((action.command, action.summary) for action in resource.actions.values())
    return "\n".join([*([resource.summary, ""] if resource.summary else []), *usage, "", *actions])


def action_help(profile: str, resource: Resource, action: Action) -> str:
    text = dedent(action.doc).strip()
    return f"usage: {_command(profile)} {usage_of(resource, action)}" + (f"\n\n{text}" if text else "")


def _command(profile: str) -> str:
    return f"innkeeper {profile}".strip()


def _columns(rows: Iterable[tuple[str, str]]) -> list[str]:
    pairs = list(rows)
    width = max((len(name) for name, _ in pairs), default=0)
    return [f"  {name.ljust(width)}  {text}".rstrip() for name, text in pairs]
