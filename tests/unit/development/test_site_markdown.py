"""The site's Markdown is that of the pages, as Python-Markdown needs it."""

from __future__ import annotations

from development.site.markdown import anchor, escaped, for_site


def moved(target: str) -> str | None:
    return None if target.endswith("/") else f"moved/{target}"


def test_links_lead_to_the_site_also_across_lines() -> None:
    text = "See [the\nguide](a.md#part) and ![it](b.png)."
    assert for_site(text, moved) == "See [the\nguide](moved/a.md#part) and ![it](moved/b.png).\n"


def test_a_link_to_what_the_site_lacks_is_its_text() -> None:
    assert for_site("In [`tests/bench`](../tests/bench/).", moved) == "In `tests/bench`.\n"


def test_links_in_code_stay_as_they_are() -> None:
    text = "`[a](b)`\n\n```sh\necho '[a](b)'\n```\n"
    assert for_site(text, moved) == text


def test_a_fence_loses_the_arguments_of_the_tests() -> None:
    assert for_site("```sh on=fresh\nls\n```", moved) == "```sh\nls\n```\n"


def test_the_content_of_a_list_item_has_four_columns() -> None:
    text = "1. One\n\n   ```sh on=fresh\n   if a\n     b\n   ```\n\n2. Two\n   - three\n     four\n\nEnd"
    expected = "1. One\n\n    ```sh\n    if a\n      b\n    ```\n\n2. Two\n    - three\n        four\n\nEnd\n"
    assert for_site(text, moved) == expected


def test_a_comment_before_a_table_leaves_an_empty_line() -> None:
    assert for_site("<!-- table: begin -->\n| A |\n|---|", moved) == "\n\n| A |\n|---|\n"


def test_plain_text_reads_the_same() -> None:
    assert escaped("a_b *c* [d](e) <f> g|h") == r"a\_b \*c\* \[d\](e) &lt;f&gt; g\|h"


def test_an_anchor_is_that_of_the_heading() -> None:
    assert anchor("Read a VM host's plan, first") == "read-a-vm-hosts-plan-first"
