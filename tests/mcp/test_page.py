"""The page about the tools names all of them, and what each returns is what its description says."""

import re

from datastore.mcp.tools import TOOLS
from tests.docs.pages import ROOT

PAGE = (ROOT / "docs/mcp.md").read_text(encoding="utf-8")


def test_the_page_lists_the_tools_with_what_they_are():
    rows = re.findall(r"^\| `(\w+)` \| .* \| (reading|destructive|additive) \|$", PAGE, re.MULTILINE)
    kinds = {
        tool.name: "destructive" if tool.destructive else "additive" if tool.writes else "reading" for tool in TOOLS
    }
    assert dict(rows) == kinds
    assert len(rows) == len(TOOLS)


def test_a_description_names_every_field_that_the_page_does():
    for name, returned in re.findall(r"^\| `(\w+)` \| (.*) \| \w+ \|$", PAGE, re.MULTILINE):
        (description,) = (tool.description for tool in TOOLS if tool.name == name)
        for field in re.findall(r"`(\w+)`", returned):
            assert re.search(rf"\b{field}\b", description), (name, field)
