"""Whatever agents have stored is shown as text: nothing of it is markup, and nothing of it is unseen."""

from __future__ import annotations

import json
import re

import pytest

from datastore.viewer.text import plain, visible
from datastore.viewer.values import coloured, line, preview, text, tree

TEXTS = [
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "javascript:alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "</textarea></title></style><svg onload=alert(1)>",
    "&lt;b&gt;",
    "a\u202egpj.exe",
    "\u2066x\u2069\u200b\ufeff\u00ad",
    "\x00\x07\x1b[31m\x7f\x85",
    "line\nbreak\ttab\rreturn\u2028",
    "../../etc/passwd",
    "..",
    "%2e%2e/%00",
    "a b+c&d=e#f?g;h",
]


@pytest.mark.parametrize("hostile", TEXTS)
def test_it_is_text_on_every_page(store, person, hostile):
    data_store = store.agent(hostile, hostile, hostile)
    data_store.set(hostile, {hostile: [hostile], "plain": hostile}, {hostile: hostile})
    page = person.see("/")
    shown = plain(hostile, 1_000)
    for step in (shown.strip(), shown.strip(), shown.strip()):
        for _, attributes in page.tags:
            assert not [name for name in attributes if name.startswith("on")], attributes
        assert {name for name, _ in page.tags} <= KNOWN
        links = {re.sub(r"\s+", " ", link): target for link, target in page.links.items()}
        page = person.see(links[step])
        assert page.status == 200
    assert {name for name, _ in page.tags} <= KNOWN
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00\u200b\ufeff]", page.html)
    columns = person.see("/records", user=hostile, namespace=hostile, column=hostile, filter=hostile, order=hostile)
    assert {name for name, _ in columns.tags} <= KNOWN
    data_store.log("talk").append({"role": hostile, "content": [{"text": hostile}]}, hostile)
    data_store.memory.add(hostile, key="near", vector=[1.0, 2.0])
    data_store.set("said", {"messages": [{"role": hostile, "content": hostile}]}, vector=[1.0, 2.1])
    of_user, of_near = {"user": hostile, "namespace": hostile}, {"key": "near"}
    for path, more in (
        ("/", {"prefix": hostile}),
        ("/user", {"user": hostile, "with": "logs", "prefix": hostile}),
        ("/user", {"user": hostile, "sizes": "1"}),
        ("/search", {"user": hostile, "q": f"{hostile} x", "prefix": hostile}),
        ("/search", {"user": hostile, "q": "plain"}),
        ("/pictures", {"user": hostile, "prefix": hostile}),
        ("/pictures", of_user),
        ("/beside", of_user),
        ("/log", of_user | {"name": "talk"}),
        ("/near", of_user | of_near),
        ("/record", of_user | of_near),
        ("/record", of_user | {"key": "said"}),
        ("/check", {"of": "filter", "filter": f'{{"{"a" * 5}": {json.dumps(hostile)}, "$x": 1}}'}),
    ):
        seen = person.see(path, **more)
        assert seen.status in (200, 400), path
        assert {name for name, _ in seen.tags} <= KNOWN, path
        assert not [name for _, attributes in seen.tags for name in attributes if name.startswith("on")], path
        shown = re.sub('value="[^"]*"|<textarea.*?</textarea>', "", seen.html, flags=re.DOTALL)  # what was typed stays
        assert not re.search("[\u202a-\u202e\u2066-\u2069\x00\u200b\ufeff]", shown), path
    missing = person.see("/record", user=hostile, namespace=hostile, key=f"{hostile}-")
    assert missing.status == 404
    assert {name for name, _ in missing.tags} <= KNOWN


KNOWN = set(
    re.findall(
        r"\w+",
        "html head meta title link script body a header nav ol li form input button main h1 h2 small ul div table "
        "caption thead tbody tr th td bdi span label select option details summary textarea p code fieldset legend "
        "section pre time strong br dl dt dd footer mark svg polyline rect",
    )
)


def test_what_cannot_be_seen_is_written_as_an_escape():
    assert visible("a\u202eb\x00") == (
        'a<span class="control" title="U+202E RIGHT-TO-LEFT OVERRIDE">\\u202e</span>b'
        '<span class="control" title="U+0000">\\x00</span>'
    )
    assert visible("<&>\"'") == "&lt;&amp;&gt;&#34;&#39;"
    assert visible("abc", 2) == 'ab<span class="cut" title="cut here">…</span>'


def test_signs_made_of_several_characters_stay_whole():
    for sign in ("👩‍👧", "می‌خواهم", "🏳️‍🌈", "é", "עברית", "क्‍ष"):
        assert visible(sign) == sign
    assert "u200d" in visible("a\u200db")
    assert "u200d" in visible("\u200d")


VALUES = [
    None,
    True,
    1,
    -1.5e300,
    10**30,
    "",
    'a\n"b\\',
    [],
    {},
    [1, [2, {"a": None}]],
    {"a": {"b": []}, "": 1, "\x00": "<"},
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_is_shown_as_it_is(value):
    assert json.loads(line(value, 10_000)) == value
    assert json.loads(text(value)) == value
    html, cut = coloured(text(value))
    assert not cut
    without = html.striptags() if "\\x" in html else re.sub("<[^>]*>", "", html)
    if "\x00" not in str(value):
        assert json.loads(without.replace("&#34;", '"').replace("&lt;", "<")) == value
    for made in (tree(value), preview(value)):
        assert made.count("<div") == made.count("</div")
        assert made.count("<details") == made.count("</details")


def test_a_preview_costs_what_it_shows():
    """It looks at the beginning of the value alone: the rest here is no JSON."""

    class Rest(dict):
        def __getitem__(self, key):
            raise AssertionError("looked at")

    assert "xxx" in preview([*["x" * 50] * 4, Rest(a=1)], 120)
    assert len(line("x" * 1_000_000, 100)) == 100
