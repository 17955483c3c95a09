"""Prints which client of MAAS makes which calls, from what the tests check; `--write` updates the page.

python -m tests.clients.call_table [--write]
"""

from __future__ import annotations

from development.generated.generated_section import CHECKOUT, GeneratedSection
from tests.clients.calls import ALL


def tables() -> str:
    """Returns a table of the clients and one of the calls."""
    clients = "\n".join(f"| {one.name} | {one.tested} | {one.hosts} | {one.since} | {len(one.calls)} |" for one in ALL)
    names = " | ".join(one.name for one in ALL)
    calls = sorted({call for one in ALL for call in one.calls}, key=lambda call: (call.partition(" ")[2], call))
    rows = "\n".join(
        f"| `{call}` | {' | '.join('yes' if call in one.calls else '' for one in ALL)} |" for call in calls
    )
    return (
        f"| Client | Tested | On hosts | Works since | Calls |\n|---|---|---|---|---|\n{clients}\n\n"
        f"| Call | {names} |\n|---|{'---|' * len(ALL)}\n{rows}"
    )


SECTION = GeneratedSection(
    page=CHECKOUT / "docs/reference/clients.md",
    title="call table",
    module="tests.clients.call_table",
    generate=lambda: f"\n{tables()}\n",
)

if __name__ == "__main__":
    SECTION.run(__doc__)
