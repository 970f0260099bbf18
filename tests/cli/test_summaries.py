"""What a summary says about a file."""

from __future__ import annotations

import time

import pytest

from datastore.cli.summaries import summarise
from datastore.values import encode


def definitions(text: str, language: str) -> list[tuple[str, str, int]]:
    return [(entry["kind"], entry["name"], entry["line"]) for entry in summarise(text, language)["definitions"]]


def test_python_is_read_by_its_grammar():
    text = '''
"""def not_this(): pass"""
if True:
    async def one(): ...
class Two:
    class Three:
        def four(self): ...
try:
    import x
except ImportError:
    pass
'''
    assert definitions(text, "python") == [
        ("function", "one", 4),
        ("class", "Two", 5),
        ("class", "Two.Three", 6),
        ("method", "Two.Three.four", 7),
    ]


def test_python_uses_are_what_comes_from_other_modules():
    imports = "import os.path as p, shop.books\nfrom shop.till import sell as s\nfrom . import stock\n"
    text = imports + "p.join(books.Book, s)\nx.y\n"
    assert summarise(text, "python")["uses"] == [".stock", "books.Book", "path.join", "till.sell"]


@pytest.mark.parametrize("text", ["def f(:\n", "x = '\\0'\0", "(" * 5_000, "-" * 100_000 + "1", "print 'old'"])
def test_what_is_no_python_is_looked_at_line_by_line(text):
    assert definitions(text + "\ndef g():\n", "python")[-1:] == [("function", "g", text.count("\n") + 2)]


def test_warnings_about_somebody_else_s_code_are_not_ours():
    assert summarise("x = '\\d'\nx is 1\n", "python")["lines"] == 2


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("javascript", "export default async function load() {", ("function", "load")),
        ("javascript", "const add = (a, b) => a + b", ("function", "add")),
        ("typescript", "export interface Shop {", ("interface", "Shop")),
        ("go", "func (s *Shop) Sell(b Book) error {", ("function", "Sell")),
        ("go", "type Shop struct {", ("type", "Shop")),
        ("rust", "    pub(crate) async fn sell() {", ("function", "sell")),
        ("java", "  public static final class Shop {", ("class", "Shop")),
        ("csharp", "public record Book(string Title);", ("record", "Book")),
        ("kotlin", "override suspend fun sell() {", ("function", "sell")),
        ("c", "static int count_books(struct shop *s)", ("function", "count_books")),
        ("c", "#define LIMIT 10", ("function", "LIMIT")),
        ("cpp", "class Shop {", ("class", "Shop")),
        ("ruby", "  def sold?", ("function", "sold?")),
        ("php", "public function sell()", ("function", "sell")),
        ("shell", "main() {", ("function", "main")),
        ("sql", "CREATE TABLE books (", ("table", "books")),
        ("lua", "local function sell(x)", ("function", "sell")),
        ("perl", "sub sell {", ("function", "sell")),
        ("elixir", "  defp sell(x) do", ("function", "sell")),
        ("scala", "case class Book(x: Int)", ("class", "Book")),
        ("swift", "public func sell() {", ("function", "sell")),
    ],
)
def test_other_languages_are_read_by_simple_patterns(language, text, expected):
    assert [entry[:2] for entry in definitions(text, language)] == [expected]


def test_headings_of_markdown():
    text = "---\ntitle: no\n---\n# One #\n```sh\n# not this\n```\nTwo\n===\n    # code\n### Three\n| a |\n|---|\n"
    assert summarise(text, "markdown")["headings"] == ["One", "Two", "Three"]


def test_headings_of_restructuredtext():
    text = "=====\nOne\n=====\n\nText.\n\nTwo\n~~~\n\nA long line\n--\n"
    assert summarise(text, "restructuredtext")["headings"] == ["One", "Two"]


@pytest.mark.parametrize(("text", "lines"), [("", 0), ("a", 1), ("a\n", 1), ("a\r\nb\r\n", 2), ("a\rb\n\n", 3)])
def test_lines_are_counted_whatever_ends_them(text, lines):
    assert summarise(text, "text")["lines"] == lines


@pytest.mark.parametrize("language", ["python", "javascript", "markdown", "c", "text"])
@pytest.mark.parametrize(
    "line", ["def f_{0}(): ...", "function aB{0}() {{", "# é{0}" * 20, "a " * 150, "x" * 300 + "(", "class x{0} " * 30]
)
def test_the_summary_of_any_file_is_small_and_quick(language, line):
    text = "\n".join(line.format(number) for number in range(400_000 // len(line)))
    began = time.process_time()
    summary = summarise(text, language)
    assert len(encode(summary).encode()) < 700_000
    assert time.process_time() - began < 10
