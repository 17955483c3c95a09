"""The page of roles has the table that the declarations of the API say."""

from __future__ import annotations

from development.generated.role_table import OWNERSHIP, SECTION, ownership_table, tables


def test_the_roles_page_holds_the_current_table() -> None:
    page = SECTION.page.read_text(encoding="utf-8")
    for section in (SECTION, OWNERSHIP):
        assert page == section.placed_in(page, section.generate()), (
            "run: python -m development.generated.role_table --write"
        )


def test_the_table_says_whose_a_machine_is() -> None:
    lines = ownership_table().splitlines()
    for line in (
        "| nobody's: stock | Ready |  | sees | sees, allocates | acts, allocates | acts, allocates |",
        "| whoever made it: in use | Ready |  | sees | sees | acts, allocates | acts, allocates |",
        "| administrators': in use | Ready |  | sees | sees | sees | acts, allocates |",
        "| its owner | any |  | sees | sees | acts | acts |",
    ):
        assert line in lines


def test_the_table_says_who_may_what() -> None:
    lines = tables().splitlines()
    for line in (
        "| `GET machines/` | List machines |  | yes | yes | yes |",
        "| `POST machines/?op=allocate` | Allocate a machine |  |  | yes | yes |",
        "| `POST machines/{system_id}/?op=power_on` | Power a machine on |  |  | own | yes |",
        "| `POST vm-hosts/` | Add a VM host |  |  |  | yes |",
        "| `GET version/` | Read version and capabilities | yes | yes | yes | yes |",
        "| `client.power` |  |  | own | yes |",
        "| `client.resize` |  |  | own | yes |",
        "| `client.remove_disk` |  |  | own | yes |",
    ):
        assert line in lines
