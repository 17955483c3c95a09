"""Pages as text to compare: one tag a line, without what is new in each run."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tests.golden.normalised import normalised

_TAG = re.compile(r"(<[^<>]+>)")
_MONTHS = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"
_REPLACED = (
    (r'(name="csrf(?:-token)?" (?:value|content)=|"X-CSRF-Token": )"[0-9a-f]+"', r'\1"<csrf>"'),
    (r'(name="(?:plan|once)" value=)"[^"]*"', r'\1"<new>"'),
    (r"(/stream\?after=)[\w-]+", r"\1<position>"),
    (r"/static/[0-9a-f]{12}/", "/static/<hash>/"),
    (r"(?<=[/ \n])(?=\S*[a-z])(?=\S*[A-Z]\S*[A-Z])[A-Za-z0-9]{18}(?=[/<\s])", "<api-key>"),
    (r"\b[0-9a-f]{8,}…", "<hash>…"),
    (r"\b\d+\.\d+\.\d+\.dev\d+\+g[0-9a-f]+(\.dirty)?", "<release>"),
    (r"(?<=the API key )&#3[49];(first start|local commands on the region&#39;s machine)&#3[49];", "<made at start>"),
    (r"\bprocess \d+", "process <pid>"),
    (r"( SOA \S+ \S+ \() \d+", r"\1 <serial>"),
    (r"\b\d{1,2}:\d\d:\d\d(\.\d+)?", "<clock>"),
    (rf"\b\d{{1,2}} (?:{_MONTHS})( \d{{4}})?( \d\d:\d\d)?", "<day>"),
    (r"\b\d+(\.\d+)? (ms|s|min)\b", "<duration>"),
)
_PATTERNS = tuple((re.compile(pattern), text) for pattern, text in _REPLACED)


def normalised_page(page: str, names: Mapping[str, str]) -> str:
    """Returns the page with a line for each tag and text. `names` has what replaces ids."""
    lines = (line.strip() for line in _TAG.sub(r"\n\1\n", page).splitlines())
    page = normalised("\n".join(line for line in lines if line)) + "\n"
    for pattern, replacement in _PATTERNS:
        page = pattern.sub(replacement, page)
    for found, name in names.items():
        page = re.sub(rf"\b{re.escape(found)}\b", name, page)
    return page
