"""The manual pages, made from the help of the commands and the declarations of the settings."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any

from attrs import frozen

from common.process.settings import PREFIX, Documented, documented
from development.site.markdown import escaped
from innkeeper.help import OVERVIEW
from rackd.command_line import parser as rackd
from rackd.settings import CONFIG_FILE as RACK_FILE
from rackd.settings import RackSettings
from regiond.__main__ import parser as regiond
from regiond.process.settings import CONFIG_FILE as REGION_FILE
from regiond.process.settings import RegionSettings

FOLDER = "reference/generated/manual"
_SECTIONS = {1: "User Commands", 5: "File Formats", 8: "System Administration"}
_TERM = re.compile(r"  (?P<term>\S.*?)(?:  +)(?P<text>\S.*)")
_STATUSES = (
    ("0", "The command succeeded, or the daemon was stopped by SIGTERM or SIGINT."),
    ("1", "It failed. The reason is on standard error or in the log."),
    ("2", "The command line or a setting is invalid. A restart does not help."),
)


@frozen(kw_only=True)
class ManualPage:
    """A page; the headings of `body`, which is Markdown, are of level 2."""

    name: str
    section: int
    summary: str
    body: str

    @property
    def file(self) -> str:
        return f"{self.name}.{self.section}"

    def for_site(self) -> str:
        return f"# {self.name}({self.section})\n\n{escaped(self.summary[0].upper() + self.summary[1:])}.\n\n{self.body}"

    def for_man(self, release: str, day: date) -> str:
        """Returns the source of go-md2man."""
        body = re.sub(
            r"^## (.*)$", lambda found: f"# {found[1].upper()}", _without_links(self.body), flags=re.MULTILINE
        )
        return (
            f'% "{self.name.upper()}" "{self.section}" "{day}" "Innkeeper {release}" "{_SECTIONS[self.section]}"\n\n'
            f"# NAME\n\n{self.name} \\- {self.summary}\n\n{body}"
        )


def manual() -> tuple[ManualPage, ...]:
    """Returns all pages."""
    return (
        _innkeeper(),
        _daemon(
            "regiond",
            regiond(),
            "the region daemon of Innkeeper, a controller for VM hosts",
            RegionSettings,
            _REGION,
        ),
        _daemon("rackd", rackd(), "the rack daemon of Innkeeper, which calls the hypervisors", RackSettings, _RACK),
        _settings("regiond.toml", "regiond", str(REGION_FILE), RegionSettings),
        _settings("rackd.toml", "rackd", str(RACK_FILE), RackSettings),
    )


def pages() -> dict[str, str]:
    """Returns the pages of the site, by their path there."""
    return {f"{FOLDER}/{page.file}.md": page.for_site() for page in manual()}


_REGION = """\
The region serves the MAAS 2.0 API for VM hosts, the web pages and the racks, and records in a PostgreSQL database what
each virtual machine uses. Several regions can share one database.

Run as root, every command but **run** changes to the user that owns the folder of the setting **state**.
"""
_RACK = """\
A rack calls the hypervisors, LXD and libvirt, on behalf of its regions. It stores only its own identity: a
region sends it the credentials of a host when it acts on that host.
"""


def _innkeeper() -> ManualPage:
    """Returns innkeeper(1); its parts are the paragraphs of the help."""
    usage, *paragraphs = OVERVIEW.split("\n\n")
    commands, examples, arguments, options, statuses = paragraphs
    parts = [
        "## Synopsis",
        f"```text\n{usage.removeprefix('usage: ')}\n```",
        "## Description",
        "The command line of Innkeeper. The region describes its resources and actions, so a newer region adds "
        "commands without a newer innkeeper: **innkeeper --help**, **innkeeper RESOURCE --help** and "
        "**innkeeper RESOURCE ACTION --help** list them.",
        escaped(arguments),
        "## Commands",
        _definitions(_columns(commands)),
        "## Options",
        _definitions(_columns(options)),
        "## Examples",
        "\n".join(["```text", *(line.strip() for line in examples.splitlines()[1:]), "```"]),
        "## Exit status",
        escaped(statuses.removeprefix("Exit status: ").replace("\n", " ")),
        "## Files",
        _definitions(
            [
                ("$XDG_CONFIG_HOME/innkeeper/profiles.json", "The profiles, mode 0600. Default: ~/.config."),
                ("$XDG_CACHE_HOME/innkeeper", "Names of objects for completion. Default: ~/.cache."),
            ]
        ),
        "## See also",
        "regiond(8), rackd(8)",
    ]
    return _page("innkeeper", 1, "controls VM hosts and their virtual machines", parts)


def _daemon(name: str, parser: argparse.ArgumentParser, summary: str, kind: type[Any], description: str) -> ManualPage:
    file = REGION_FILE if kind is RegionSettings else RACK_FILE
    state = next(one.default for one in documented(kind) if one.name == "state")
    parts = [
        "## Synopsis",
        f"**{name}** [**--config** *FILE*] *COMMAND*",
        "## Description",
        description.strip(),
        "## Commands",
        _definitions(_commands(parser)),
        "## Options",
        _definitions(_options(parser)),
        "## Signals",
        _definitions(_signals(name)),
        "## Exit status",
        _definitions(_STATUSES),
        "## Environment",
        f"Each setting of {name}.toml(5) has a variable, such as **{PREFIX}STATE**; **{PREFIX}CONFIG** names the file.",
        "## Files",
        _definitions([(str(file), "The settings."), (str(state).strip('"'), "The folder of what the daemon stores.")]),
        "## See also",
        f"{name}.toml(5), innkeeper(1), {'rackd' if name == 'regiond' else 'regiond'}(8)",
    ]
    return _page(name, 8, summary, parts)


def _settings(name: str, daemon: str, file: str, kind: type[Any]) -> ManualPage:
    required = "All but **database** are optional" if kind is RegionSettings else "All are optional"
    parts = [
        "## Synopsis",
        f"**{file}**",
        "## Description",
        f"The settings of {daemon}(8), in TOML. {required}. The environment overrides "
        f"the file: **state** is **{PREFIX}STATE** there, a list is separated by commas, and an empty text unsets a "
        "setting that has no default. With an unknown key or an invalid value the daemon does not start, and names "
        "the key.",
        "## Settings",
        *(
            _definitions([(each.name, f"{each.doc} {each.values[0].upper()}{each.values[1:]}. {_default(each)}")])
            for each in sorted(documented(kind), key=lambda each: each.name)
        ),
        "## See also",
        f"{daemon}(8)",
    ]
    return _page(name, 5, f"settings of the daemon {daemon}", parts)


def _default(one: Documented) -> str:
    default = "No default." if one.default is None else f"Default: {one.default}."
    return f"{default} A reload applies a change." if one.reload else default


def _signals(name: str) -> Iterator[tuple[str, str]]:
    yield "SIGTERM, SIGINT", "Stops the daemon. Operations that run continue elsewhere, or after its next start."
    also = " and the certificate of the API" if name == "regiond" else ""
    restart = "Other changed settings need a restart; the status and the log name them."
    yield "SIGHUP", f"Reads the settings{also} again and applies those that can change. {restart}"


def _page(name: str, section: int, summary: str, parts: Iterable[str]) -> ManualPage:
    return ManualPage(name=name, section=section, summary=summary, body="\n\n".join(parts) + "\n")


def _columns(text: str) -> Iterator[tuple[str, str]]:
    """Yields term and text of each line of a help in two columns."""
    return ((found["term"].strip(), found["text"]) for found in map(_TERM.match, text.splitlines()) if found)


def _commands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    """Yields usage and help of each command, those of groups such as `admin create` included."""
    for group in _actions(parser):
        if not isinstance(group, argparse._SubParsersAction):  # noqa: SLF001  # argparse has no public way to list them
            continue
        help_of = {each.dest: each.help or "" for each in group._choices_actions}  # noqa: SLF001  # as above
        for name, command in group.choices.items():
            nested = list(_commands(command))
            usage = " ".join(
                command.format_usage().removeprefix("usage: ").replace("[-h] ", "").replace("[-h]", "").split()
            )
            yield from nested or [(usage, "; ".join([help_of[name], *_argument_helps(command)]))]


def _argument_helps(command: argparse.ArgumentParser) -> Iterator[str]:
    for each in _actions(command):
        if each.help and not isinstance(each, argparse._HelpAction):  # noqa: SLF001  # as above
            label = (
                each.option_strings[0] if each.option_strings else each.metavar or "|".join(each.choices or [each.dest])
            )
            yield f"{label}: {each.help}"


def _options(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    for each in _actions(parser):
        if each.option_strings:
            value = f" {each.metavar}" if each.metavar else ""
            yield ", ".join(each.option_strings) + value, each.help or ""


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return parser._actions  # noqa: SLF001  # argparse has no public way to list them


def _definitions(terms: Iterable[tuple[str, str]]) -> str:
    return "\n\n".join(f"**{escaped(term)}**\n:   {escaped(text)}" for term, text in terms)


def _without_links(text: str) -> str:
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
