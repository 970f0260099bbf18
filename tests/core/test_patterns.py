"""Regular expressions mean what they mean to PCRE2, as MongoDB uses it, and are searched for in linear time.

The expected answers are those of PCRE2 10.42 in UTF mode.
"""

from __future__ import annotations

import builtins
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from datastore import DeadlineExceededError, QueryError, UnsupportedError, deadlines
from datastore.queries.language import parse
from datastore.queries.matcher import compile_filter
from datastore.queries.patterns import compile_pattern
from datastore.queries.tree import Matches

TEXTS = (
    "", "a", "b", "A", "k", "K", "\u212a", "s", "ſ", "é", "É", "\n", "a\n", "a\n\n", "a\nb", "\x0b", "\x85", "\xa0",
    " ", "_", "-", "7", "٣", "\0", "🔑", "ab", "a b", "σ", "ς",
)  # fmt: skip


def found(pattern: str, options: str, text: str) -> bool:
    return compile_pattern(Matches(pattern, "".join(sorted(options))))(text)


@pytest.mark.parametrize(
    ("pattern", "options", "texts"),
    [
        # the ends of the text, and of lines
        ("a$", "", ["a", "a\n"]),
        ("a$", "m", ["a", "a\n", "a\n\n", "a\nb"]),
        (r"a\Z", "", ["a", "a\n"]),
        (r"a\z", "", ["a"]),
        ("^$", "", ["", "\n"]),
        ("(?m)^$", "", ["", "\n", "a\n\n"]),
        (r"(?m)^\s*$", "", ["", "\n", "a\n\n", "\x0b", " "]),
        ("^b", "", ["b"]),
        ("^b", "m", ["b", "a\nb"]),
        (r"\Ab", "m", ["b"]),
        ("(a|b$)$", "", ["a", "b", "a\n", "ab", "a b", "a\nb"]),
        ("a$|b$", "", ["a", "b", "a\n", "ab", "a b", "a\nb"]),
        ("(a$)?b", "x", None),
        # dots
        ("^.$", "", [*(one for one in TEXTS if len(one) == 1 and one != "\n"), "a\n"]),
        ("^.b", "s", ["ab"]),
        ("a.b", "s", ["a\nb", "a b"]),
        ("a.b", "", ["a b"]),
        (r"^\N\z", "s", [one for one in TEXTS if len(one) == 1 and one != "\n"]),
        # classes know ASCII alone, with or without regard to case
        (r"\d", "", ["7"]),
        (r"^\w\z", "", ["a", "b", "A", "k", "K", "s", "_", "7"]),
        (r"^\w\z", "i", ["a", "b", "A", "k", "K", "s", "_", "7"]),
        (r"^[\w]\z", "i", ["a", "b", "A", "k", "K", "s", "_", "7"]),
        (r"^[[:alpha:]]\z", "i", ["a", "b", "A", "k", "K", "s"]),
        (r"^[[:lower:]]\z", "", ["a", "b", "k", "s"]),
        (r"^[[:lower:]]\z", "i", ["a", "b", "A", "k", "K", "s"]),
        (r"^[[:digit:]_]\z", "", ["_", "7"]),
        (r"^\W\z", "i", ["\u212a", "ſ", "é", "É", "\n", "\x0b", "\x85", "\xa0", " ", "-", "٣", "\0", "🔑", "σ", "ς"]),
        (r"^[^\wé]\z", "i", ["\u212a", "ſ", "\n", "\x0b", "\x85", "\xa0", " ", "-", "٣", "\0", "🔑", "σ", "ς"]),
        (r"^[\dk]\z", "i", ["k", "K", "\u212a", "7"]),
        (r"^[^\Wks]\z", "i", ["a", "b", "A", "_", "7"]),
        (r"^\p{Lu}\z", "", ["A", "K", "\u212a", "É"]),
        (r"^\p{Lu}\z", "i", ["A", "K", "\u212a", "É"]),
        (r"^\s\z", "", ["\n", "\x0b", " "]),
        (r"^[^\S]\z", "", ["\n", "\x0b", " "]),
        (r"^\h\z", "", ["\xa0", " "]),
        (r"^\v\z", "", ["\n", "\x0b", "\x85"]),
        (r"^[\H]\z", "", [one for one in TEXTS if len(one) == 1 and one not in "\xa0 "]),
        (r"\bb", "", ["b", "a\nb", "a b"]),
        (r"\bé", "", []),
        # letters in any case are those of Unicode
        ("^k\\z", "i", ["k", "K", "\u212a"]),
        ("^S\\z", "i", ["s", "ſ"]),
        ("^[r-t]\\z", "i", ["s", "ſ"]),
        ("^É\\z", "i", ["é", "É"]),
        ("^Σ\\z", "i", ["σ", "ς"]),
        ("(?i:k)$", "", ["k", "K", "\u212a"]),
        ("(?i)K(?-i)$", "", ["k", "K", "\u212a"]),
        # option x
        ("a b # a comment\n", "x", ["ab"]),
        (r"a\ b", "x", ["a b"]),
        ("a[ ]b", "x", ["a b"]),
        ("(?x) a (?-x) b", "", ["a b"]),
        ("^a +b", "x", ["ab"]),
        (r"a\Q b\E", "x", ["a b"]),
        ("a(?# a comment )b", "", ["ab"]),
        # characters by their numbers, and what stands for itself
        (r"\x{1F511}", "", ["🔑"]),
        (r"\x{00000000000000000061}", "", ["a", "a\n", "a\n\n", "a\nb", "ab", "a b"]),
        (r"^\xe9", "", ["é"]),
        (r"\0", "", ["\0"]),
        ("\0", "", ["\0"]),
        (r"^\12\z|^\o{12}\z", "", None),
        (r"[\12]", "", ["\n", "a\n", "a\n\n", "a\nb"]),
        (r"\x0b|\cJb", "", ["a\nb", "\x0b"]),
        (r"\Q-\E|\-", "", ["-"]),
        ("{", "", []),
        (r"^a{2 }|x{,3}", "", []),
        (r"\x41{1,}", "", ["A"]),
        ("", "", list(TEXTS)),
        ("(?<name>a)b|(?'other'7)|(?P<third>k)", "", ["k", "7", "ab"]),
    ],
    ids=str,
)
def test_a_pattern_means_what_it_means_to_mongodb(pattern, options, texts):
    if texts is None:
        with pytest.raises(QueryError):
            found(pattern, options, "")
        return
    assert [text for text in TEXTS if found(pattern, options, text)] == sorted(texts, key=TEXTS.index)


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("a(?=b)", "at position 1 it has a look-around"),
        ("(?!b)", "at position 0 it has a look-around"),
        ("(?<=b)a", "at position 0 it has a look-around"),
        ("(?<!b)a", "at position 0 it has a look-around"),
        (r"(a)\1", r"at position 3 it has a back-reference, \1"),
        (r"(?<n>a)\k<n>", r"at position 7 it has \k, a back-reference"),
        ("(?P<n>a)(?P=n)", "at position 8 it has a back-reference"),
        ("(?R)?a", "at position 0 it has a recursion"),
        ("(a)(?1)", "at position 3 it has a recursion"),
        ("(a)(?-1)", "at position 3 it has a recursion"),
        ("(?>a)", "at position 0 it has an atomic group"),
        ("a++", "at position 1 it has a possessive quantifier, ++"),
        ("a{2}+", "at position 1 it has a possessive quantifier, {2}+"),
        ("(?(1)a|b)", "at position 0 it has a conditional group"),
        ("(*UCP)a", "at position 0 it has a verb"),
        ("(?|a|b)", "at position 0 it has (?|, which begins no group"),
        (r"\R", "at position 0 it has \\R, the end of a line; write (?:\\r\\n|\\n|\\r)"),
        (r"\X", r"at position 0 it has \X"),
        (r"a\Kb", r"at position 1 it has \K"),
        (r"\Ga", r"at position 0 it has \G"),
        (r"\y", r"at position 0 it has \y, which means nothing"),
        (r"a$\n", "at position 3 it has something after a $, which stands for the end; write"),
        (r"(a$|b)c", "at position 6 it has something after a $"),
        (r"((a$)|b)c", "at position 8 it has something after a $"),
        (r"(a$){2}", "at position 4 it has a $ that is repeated"),
        ("a{1001}", "at position 1 it has {1001}, and may repeat 1,000 times"),
        ("a{2,1001}", "at position 1 it has {2,1001}, and may repeat 1,000 times"),
        ("(", "at position 0 it has a group without an end"),
        (")", "at position 0 it has a ) without its ("),
        ("[", "at position 0 it has a class without an end"),
        ("[]", "at position 0 it has a class without an end"),
        ("[z-a]", "at position 0 it has a range whose end comes before its beginning"),
        (r"[\d-z]", "at position 0 it has a range that begins with more than a character"),
        (r"[a-\d]", "at position 0 it has a range that ends with more than a character"),
        ("[[:foo:]]", "at position 1 it has an unknown class, [:foo:]"),
        ("[:alpha:]", "at position 0 it has a POSIX class outside of brackets"),
        ("*", "at position 0 it has * with nothing to repeat"),
        ("a**", "at position 2 it has * with nothing to repeat"),
        ("^*", "at position 1 it has * with nothing to repeat"),
        ("a{5,2}", "at position 1 it has {5,2}, whose end comes before its beginning"),
        ("(a{99}){99}", "invalid repetition size"),
        ("." * 32_000, "it takes more than 2,000,000 bytes"),
        (r"\p{Foo}", "invalid character class range"),
        (r"\x{110000}", r"at position 0 it has \x{110000}, which is no character"),
        (r"\x{d800}", r"at position 0 it has \x{d800}, which is no character"),
        ("\\", "at position 0 it has a \\ at the end"),
        ("(?#", "at position 0 it has a comment without an end"),
        ("(?xx)a", "at position 0 it has option xx"),
        (r"\p{L}" * 200, "at position 504 it has more than 100 properties"),
    ],
)
def test_what_takes_more_than_a_linear_search_is_refused_with_its_place(pattern, reason):
    with pytest.raises(QueryError) as refused:
        parse({"$or": [{"a": {"$regex": pattern}}]})
    assert str(refused.value).startswith(f"$or[0].a.$regex: the pattern {pattern[:60]!r} does not compile: ")
    assert reason in str(refused.value)


@pytest.mark.parametrize(
    "pattern",
    [
        "x" * 40_000,
        "(" * 5_000,
        "a{1000000000}",
        "(?:a{1000}){1000}",
        r"\p{L}{1000}",
        "." * 32_000,
        "(?:(?:ab){99}){99}",
    ],
)
def test_a_pattern_that_would_take_much_memory_is_refused(pattern):
    with pytest.raises(QueryError, match=r"^a\.\$regex: the pattern "):
        parse({"a": {"$regex": pattern}})


def test_nothing_is_written_to_stderr():
    code = (
        "from datastore.queries.language import parse\n"
        "from datastore.queries.matcher import compile_filter\n"
        "for pattern in (r'\\p{Foo}', 'x{5,2}', '.' * 30_000):\n"
        "    try: parse({'a': {'$regex': pattern}})\n"
        "    except ValueError as error: print(type(error).__name__)\n"
        "matches = compile_filter(parse({'a': {'$regex': '[ab]*a[ab]{200}c'}}))\n"
        "print(matches({'a': 'abaabbbabaab' * 3_000}))\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.split() == ["QueryError"] * 3 + ["False"]
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("(a+)+$", "a" * 100_000 + "b"),
        ("(a|aa)+b", "a" * 1_000_000),
        ("(x+x+)+y", "x" * 1_000_000),
        ("((a*)*)*b", "a" * 1_000_000),
        (r"^(\w+\s?)*$", "aaaa aaaa " * 40_000 + "!"),
        ("c" * 2_000, ("c" * 1_999 + "d") * 2),
        (".*.*.*=.*", "x" * 1_000_000),
    ],
)
def test_a_pattern_that_others_search_for_ever_is_answered(pattern, text):
    """An engine that goes back takes years for these, so this ends only if the search is linear."""
    assert compile_filter(parse({"a": {"$regex": pattern}}))({"a": text}) is False


def test_a_search_that_might_outlive_its_call_is_not_begun():
    """In the worst case RE2 takes time for each state of the pattern and each byte of the text, and cannot be ended."""
    matches = compile_filter(parse({"a": {"$regex": "|".join(f"a[ab]{{{count}}}c" for count in range(1, 150))}}))
    with deadlines.within(5):
        assert matches({"a": "ab" * 100}) is False
        with pytest.raises(
            DeadlineExceededError, match=r"may take longer on a text of 1,000,000 bytes than the call has"
        ):
            matches({"a": "ab" * 500_000})
    with deadlines.within(1):  # what is sure to be short is begun, however much there is of the text
        assert compile_filter(parse({"a": {"$regex": r"\d{4}-\d\d-\d\d$"}}))({"a": "x" * 1_000_000 + "2026-11-21"})


def test_searching_ends_when_the_time_is_up():
    matches = compile_filter(parse({"a": {"$regex": "b"}}))
    with deadlines.within(-1), pytest.raises(DeadlineExceededError):
        matches({"a": ["a"] * 10})


def test_a_pattern_is_compiled_once_and_searched_for_by_many_threads():
    assert compile_pattern(Matches("^a", "i")) is compile_pattern(Matches("^a", "i"))
    search = compile_pattern(Matches("(a|b)+c$", ""))
    texts = ["ab" * count + "c" * (count % 2) for count in range(200)]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(search, texts * 20)) == [text.endswith("c") and len(text) > 1 for text in texts] * 20


def test_without_re2_a_filter_says_what_is_missing(monkeypatch):
    real = builtins.__import__

    def without(name: str, *arguments: Any) -> Any:
        if name == "re2":
            raise ImportError("No module named 're2'")
        return real(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UnsupportedError, match=r"^\$regex needs RE2, which .* 'agent-datastore\[regex\]'"):
        parse({"a": {"$regex": "never compiled before"}})


@pytest.mark.parametrize(
    ("filter", "place"),
    [
        ({"a": "pattern"}, "filter.a"),
        ({"a": {"$in": [1, "pattern"]}}, "filter.a.$in[1]"),
        ({"a": {"$not": "pattern"}}, "filter.a.$not"),
        ({"$or": [{"b": 1}, {"a.b": {"$regex": "pattern"}}]}, "filter.$or[1].a.b.$regex"),
        ({"a": {"$all": ("pattern",)}}, "filter.a.$all[0]"),
    ],
    ids=str,
)
def test_a_compiled_expression_is_refused_with_what_to_write(filter, place):
    import re

    def compiled(value: Any) -> Any:
        if value == "pattern":
            return re.compile("x")
        if isinstance(value, dict):
            return {name: compiled(child) for name, child in value.items()}
        return type(value)(map(compiled, value)) if isinstance(value, list | tuple) else value

    with pytest.raises(QueryError) as refused:
        parse(compiled(filter))
    assert str(refused.value).startswith(f"{place} is a compiled regular expression; write {{'$regex': 'pattern'")
