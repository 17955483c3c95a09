"""The commands in the pages: fenced blocks with the language `sh`, in order.

A block that cannot run in the tests says why in its first line of Markdown, such as ```` ```sh skip=install ````. The
reasons are the closed list SKIPS. ```` ```sh needs=lxd ```` runs where the machine has what it needs, one of NEEDS.
```` ```sh on=fresh ```` runs as root on a new Debian, `on=podman` on one with Podman, `on=systemd` only on one that
booted. ```` ```toml file=PATH ```` between such blocks has settings to write into that file. A block ```` ```text ````
directly after a block of commands is what they print on a terminal, in its shape.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

from attrs import frozen

CHECKOUT = Path(__file__).resolve().parents[2]
SKIPS = {
    "run": "starts what the test has started already",
    "install": "installs packages and services on the machine",
    "stopped": "needs every region to be stopped",
    "installed": "needs the daemons as services of this machine",
    "interactive": "waits for what a person sees or enters at that moment",
}
NEEDS = ("lxd", "ssh")
MACHINES = (
    "fresh",
    *("podman", "podman-restored"),
    "systemd",
    *("restored", "moved", "moved-to", "archived", "recovered"),  # in turn, on a fresh machine that has lost its region
)
# With commands for a new machine, in their order.
GUIDES = (
    "docs/how-to/install.md",
    "docs/how-to/monitor.md",
    "docs/how-to/backup.md",
    "docs/how-to/upgrade.md",
    "docs/how-to/deploy.md",
    "docs/how-to/https.md",
    "docs/how-to/racks.md",
    "docs/how-to/second-region.md",
    "docs/how-to/master-key.md",
)
# In the order in which a new user reads them.
PAGES = (
    "README.md",
    "docs/tutorial/first-vm.md",
    "docs/how-to/constraints.md",
    "docs/how-to/images.md",
    "docs/how-to/deploy.md",
    "docs/how-to/console.md",
    "docs/how-to/screen.md",
    "docs/how-to/networks.md",
    "docs/how-to/allocate.md",
    "docs/how-to/adopt.md",
    "docs/how-to/boot.md",
    "docs/how-to/resize.md",
    "docs/how-to/disks.md",
    "docs/how-to/clone.md",
    "docs/how-to/export.md",
    "docs/how-to/nics.md",
    "docs/how-to/usage.md",
    "docs/how-to/maintenance.md",
    "docs/how-to/check.md",
    "docs/how-to/audit.md",
    "docs/how-to/audit-export.md",
    "docs/how-to/logs.md",
    "docs/how-to/health.md",
    "docs/how-to/events.md",
    "docs/how-to/monitor.md",
    "docs/how-to/traces.md",
    "docs/how-to/libvirt-host.md",
    "docs/how-to/rpc-client.md",
    "docs/how-to/from-maas.md",
    "docs/how-to/import-from-maas.md",
    "docs/how-to/maas-bridge.md",
    "docs/how-to/drop-in-address.md",
    "docs/how-to/maas-bridge.md",
    "docs/how-to/maas-parallel-run.md",
    "docs/how-to/terraform.md",
    "docs/how-to/ansible.md",
    "docs/how-to/juju.md",
    "docs/how-to/cluster-api.md",
    "docs/how-to/python.md",
    "docs/how-to/go.md",
    "docs/how-to/curl.md",
    "docs/how-to/write-a-driver.md",
    "docs/how-to/users.md",
    "docs/how-to/roles-and-quotas.md",
    "docs/how-to/lxd-host.md",
    "docs/how-to/incus-host.md",
    "docs/how-to/incus-cluster.md",
    "docs/how-to/install.md",
    "docs/how-to/containers.md",
    "docs/how-to/https.md",
    "docs/how-to/racks.md",
    "docs/how-to/second-region.md",
    "docs/how-to/fail-over.md",
    "docs/how-to/master-key.md",
    "docs/how-to/backup.md",
    "docs/how-to/upgrade.md",
    "docs/reference/cli.md",
    "docs/reference/interface-constraints.md",
    "docs/reference/simulated-hosts.md",
)
_HEADING = re.compile(r"^##+ (.+)$", re.MULTILINE)  # one `#` is also a comment of a shell
_FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^`\n]*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)


@frozen(kw_only=True)
class Block:
    """A fenced block of a page. `line` is that of its fence, `mark` the pair after its language, such as `skip=run`.

    `shown` is the text block that follows directly: what the commands print on a terminal.
    """

    page: str
    section: str  # the heading above it, "" above the first one
    line: int
    language: str
    mark: tuple[str, str] | None
    text: str
    shown: str | None

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    def marked(self, key: str) -> str | None:
        return self.mark[1] if self.mark is not None and self.mark[0] == key else None

    @property
    def runs_on_the_tests_machine(self) -> bool:
        return self.language == "sh" and self.marked("skip") is None and self.marked("on") is None


def blocks_of(page: str) -> list[Block]:
    """Returns the blocks of one page, in order."""
    content = (CHECKOUT / page).read_text(encoding="utf-8")
    found = []
    matches = list(_FENCE.finditer(content))
    for match, after in pairwise([*matches, None]):
        assert match is not None  # only the last one is
        language, _, rest = match["info"].strip().partition(" ")
        key, _, value = rest.partition("=")
        follows = after and after["info"] == "text" and not content[match.end() : after.start()].strip()
        block = Block(
            page=page,
            section=["", *_HEADING.findall(content, 0, match.start())][-1],
            line=content.count("\n", 0, match.start()) + 1,
            language=language,
            mark=(key, value) if key else None,
            text=_dedented(match),
            shown=_dedented(after) if after and follows else None,
        )
        found.append(block)
    return found


def example(page: str, language: str, replaced: Mapping[str, str]) -> str:
    """Returns the page's only block of this language, with words replaced, each of which it has to contain."""
    (text,) = (block.text for block in blocks_of(page) if block.language == language)
    for old, new in replaced.items():
        assert old in text, f"{page} has no {old}"
        text = text.replace(old, new)
    return text


def _dedented(match: re.Match[str]) -> str:
    return re.sub(rf"^{match['indent']}", "", match["text"], flags=re.MULTILINE)


def missing_lines(shown: str, printed: str) -> list[str]:
    """Returns the lines of `shown` that `printed` does not have in this order.

    Words and headings must be equal. A word with a digit, such as a number, an id or a time, stands for any word, and
    `…` for any words.
    """
    rest, missing = iter(printed.splitlines()), []
    for line in filter(str.strip, shown.splitlines()):
        words = [
            r".*" if word == "…" else r"\S+" if re.search(r"\d", word) else re.escape(word) for word in line.split()
        ]
        pattern = re.compile(r"\s+".join(words))
        if not any(pattern.fullmatch(printed_line.strip()) for printed_line in rest):
            missing.append(line)
    return missing
