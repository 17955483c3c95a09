"""The page about RPC clients has each call of the library, with its arguments and their defaults."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from innkeeper import rpc

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "rpc-client.md"
_ROW = re.compile(r"^\| `(?P<call>(?P<name>\w+)\(.*?\))` \|", re.MULTILINE)


def _written(name: str) -> str:
    """Returns the call as the page writes it: `compose(host=None, …)`."""
    parameters = list(inspect.signature(getattr(rpc.Region, name)).parameters.values())[1:]
    texts = []
    for one in parameters:
        default = str(one.default) if not isinstance(one.default, str | bytes) else repr(one.default).replace("'", '"')
        texts.append(one.name if one.default is one.empty else f"{one.name}={default}")
    return f"{name}({', '.join(texts)})"


def test_the_page_has_every_call_with_its_arguments() -> None:
    calls = {name for name, _ in inspect.getmembers(rpc.Region, inspect.isfunction) if not name.startswith("_")}
    page = {row["name"]: row["call"] for row in _ROW.finditer(PAGE.read_text())}
    assert page == {name: _written(name) for name in page}
    assert page.keys() == calls
