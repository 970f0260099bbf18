r"""Translates MongoDB's regular expressions for RE2: from PCRE's syntax to RE2's.

MongoDB searches with PCRE2, in UTF mode and with its default options. RE2 reads nearly the same syntax, but a few
things mean something else: ``$`` before a newline at the end, ``\v``, ``\s``, case-insensitive classes. The translation
writes them so that RE2 matches what PCRE2 does (https://www.pcre.org/current/doc/html/pcre2pattern.html). A construct
that needs more than a linear search is refused, and the message names it.
"""

from __future__ import annotations

import re
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from functools import cache
from typing import NamedTuple, NoReturn, TypeAlias

from datastore.deadlines import check

Ranges: TypeAlias = tuple[tuple[int, int], ...]

_SPACE: Ranges = ((0x09, 0x0D), (0x20, 0x20))
_HORIZONTAL: Ranges = (
    (0x09, 0x09), (0x20, 0x20), (0xA0, 0xA0), (0x1680, 0x1680), (0x180E, 0x180E), (0x2000, 0x200A), (0x202F, 0x202F),
    (0x205F, 0x205F), (0x3000, 0x3000),
)  # fmt: skip
_VERTICAL: Ranges = ((0x0A, 0x0D), (0x85, 0x85), (0x2028, 0x2029))
_KINDS = {"s": _SPACE, "h": _HORIZONTAL, "v": _VERTICAL}
_CONTROLS = {"a": 0x07, "e": 0x1B, "f": 0x0C, "n": 0x0A, "r": 0x0D, "t": 0x09}
_IGNORED = frozenset(" \t\n\v\f\r\x85\u200e\u200f\u2028\u2029")
"""The characters that option ``x`` ignores."""
_POSIX = frozenset(
    ("alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper",
     "word", "xdigit")
)  # fmt: skip
_QUANTIFIER = re.compile(r"[*+?]|\{(\d+)(?:,(\d*))?\}", re.ASCII)
_FLAGS = re.compile(r"\?([imsx]*)(?:-([imsx]*))?([:)])")
_NAME = re.compile(r"\?P?<[A-Za-z_]\w*>|\?'[A-Za-z_]\w*'", re.ASCII)
_POSIX_CLASS = re.compile(r"\[:(\^?)(\w*):\]", re.ASCII)
_PROPERTY = re.compile(r"[pP](?:\{\^?[\w ]+\}|[A-Z])", re.ASCII)
_NUMBERED = re.compile(r"o\{([0-7]+)\}|0([0-7]{0,2})|x\{([0-9A-Fa-f]+)\}|x(?!\{)([0-9A-Fa-f]{0,2})")
_REFUSED_GROUPS = {
    ("?=", "?!", "?<=", "?<!"): "a look-around",
    ("?>",): "an atomic group",
    ("?R", "?&", "?P>", "?+", *(f"?{sign}{digit}" for sign in ("", "-") for digit in range(10))): "a recursion",
    ("?P=",): "a back-reference",
    ("?(",): "a conditional group",
    ("*",): "a verb",
}
_REFUSED_ESCAPES = {
    "g": "a back-reference", "k": "a back-reference", "G": "the end of the last match", "K": "another beginning",
    "X": "a character and what combines with it", "R": "the end of a line; write (?:\\r\\n|\\n|\\r)", "C": "a byte",
}  # fmt: skip
_LINE_START = "(?m:^)"
_NEVER = f"[^\\x00-\\x{{{sys.maxunicode:x}}}]"
_MOST_TIMES = 1_000  # the limit of RE2
_MOST_PROPERTIES = 100
_LAST_CASED = 0x1FFFF
"""All letters that have a case come before this one."""


class NotTranslatedError(ValueError):
    """A pattern is invalid, or RE2 cannot search for it; the message says what is wrong, and where."""


class _Flags(NamedTuple):
    i: bool
    m: bool
    s: bool
    x: bool


class _Group:
    """A group that is being read, or the whole pattern.

    Attributes:
        flags: The current options.
        outer: The options that apply again after the group.
        start: Where the group begins.
        at_end: Whether the current alternative has reached a ``$``, after which nothing may follow.
        ends: Whether an earlier alternative has reached one.
    """

    def __init__(self, flags: _Flags, start: int) -> None:
        self.flags = flags
        self.start = start
        self.at_end = False
        self.ends = False


class Translation:
    """A pattern for RE2.

    Args:
        pattern: A pattern for PCRE2.
        options: Some of ``imsx``.

    Attributes:
        text: The pattern for RE2.
        has_line_starts: Whether it has a ``^`` that matches at the beginning of every line.
        text_at_end: The pattern for the place after a newline at the end: there a line begins for RE2, but not for
            PCRE2.

    Raises:
        NotTranslatedError: If the pattern is invalid, or if RE2 cannot search for it.
    """

    def __init__(self, pattern: str, options: str) -> None:
        self._pattern = pattern
        self._at = 0
        flags = _Flags(*(option in options for option in "imsx"))
        self._groups = [_Group(flags, 0)]
        self._out = [_switch(_Flags(False, False, False, False), flags, ")")]
        self._repeatable = False
        """Whether a quantifier may follow."""
        self._closed: _Group | None = None
        """The group that ended just before."""
        self._properties = 0
        self.has_line_starts = False
        while self._at < len(pattern):
            self._next()
        if len(self._groups) > 1:
            self._refuse("a group without an end", self._groups[-1].start)
        self.text = "".join(self._out)
        self.text_at_end = self.text.replace(_LINE_START, _NEVER)

    def _next(self) -> None:
        pattern, start, flags = self._pattern, self._at, self._groups[-1].flags
        character = pattern[start]
        self._at += 1
        if flags.x and character in _IGNORED:
            return
        if flags.x and character == "#":
            end = pattern.find("\n", start)
            self._at = len(pattern) if end < 0 else end + 1
        elif (quantifier := _QUANTIFIER.match(pattern, start)) is not None:
            self._repeat(quantifier)
        elif character == "\\":
            self._escape(start)
        elif character == "[":
            self._emit(self._class(start))
        elif character == "(":
            self._open(start)
        elif character == ")":
            self._close(start)
        elif character == "|":
            group = self._groups[-1]
            group.ends, group.at_end = group.ends or group.at_end, False
            self._out.append("|")
            self._repeatable = False
        elif character == "^" and flags.m:
            self.has_line_starts = True
            self._emit(_LINE_START, repeatable=False)
        elif character == "^":
            self._emit(r"\A", repeatable=False)
        elif character == "$" and flags.m:
            self._emit("(?m:$)", repeatable=False)
        elif character == "$":
            self._end()
        else:
            self._emit("." if character == "." else _literal(ord(character)))

    def _emit(self, atom: str, *, repeatable: bool = True) -> None:
        if self._groups[-1].at_end:
            self._refuse(r"something after a $, which stands for the end; write \n?\z for the $, or use option m")
        self._out.append(atom)
        self._repeatable, self._closed = repeatable, None

    def _end(self) -> None:
        """Write the end of the text, or the place before a newline at the end.

        RE2 cannot look ahead. Because nothing may follow, the newline may as well be part of the match.
        """
        self._groups[-1].at_end = False  # a second $ after the first changes nothing
        self._emit(r"(?:\n?\z)", repeatable=False)
        self._groups[-1].at_end = True

    def _repeat(self, quantifier: re.Match[str]) -> None:
        start = quantifier.start()
        if not self._repeatable:
            self._refuse(f"{quantifier[0]} with nothing to repeat", start)
        self._at = quantifier.end()
        behind = self._pattern[self._at : self._at + 1]
        if behind == "+":
            self._refuse(f"a possessive quantifier, {quantifier[0]}+", start)
        least, most = (int((digits or "0")[:6]) for digits in quantifier.groups())
        if max(least, most) > _MOST_TIMES:
            self._refuse(f"{quantifier[0]}, and may repeat {_MOST_TIMES:,} times", start)
        if quantifier[2] and most < least:
            self._refuse(f"{quantifier[0]}, whose end comes before its beginning", start)
        if self._closed is not None and self._closed.ends and least > 1:
            self._refuse("a $ that is repeated", start)
        self._at += behind == "?"  # whether a match is lazy or greedy does not change whether there is one
        self._out.append(quantifier[0])
        self._repeatable = False

    def _open(self, start: int) -> None:
        pattern, at, flags = self._pattern, self._at, self._groups[-1].flags
        for beginnings, name in _REFUSED_GROUPS.items():
            if pattern.startswith(beginnings, at):
                self._refuse(name, start)
        if pattern.startswith("?#", at):
            end = pattern.find(")", at)
            if end < 0:
                self._refuse("a comment without an end", start)
            self._at = end + 1
            return
        inner, written = flags, "("
        named, changed = _NAME.match(pattern, at), _FLAGS.match(pattern, at)
        if named is not None:
            self._at = named.end()
        elif changed is not None:
            self._at = changed.end()
            on, off, end_of_flags = changed[1], changed[2] or "", changed[3]
            if "xx" in on:
                self._refuse("option xx", start)
            inner = flags._replace(**dict.fromkeys(on, True))._replace(**dict.fromkeys(off, False))
            written = _switch(flags, inner, end_of_flags)
            if end_of_flags == ")":
                self._groups[-1].flags = inner
                self._out.append(written)
                self._repeatable = False
                return
        elif pattern.startswith("?", at):
            self._refuse(f"({pattern[at : at + 2]}, which begins no group", start)
        self._emit(written, repeatable=False)  # no group may begin after a $ either
        self._groups.append(_Group(inner, start))

    def _close(self, start: int) -> None:
        if len(self._groups) == 1:
            self._refuse("a ) without its (", start)
        group = self._groups.pop()
        group.ends = group.ends or group.at_end
        self._groups[-1].at_end = group.ends
        self._out.append(")")
        self._repeatable, self._closed = True, group

    def _escape(self, start: int) -> None:
        letter = self._pattern[self._at : self._at + 1]
        if letter == "Q":
            for character in self._quoted():
                self._emit(_literal(ord(character)))
        elif letter == "E":
            self._at += 1
        elif letter and letter in "bBAz":
            self._at += 1
            self._emit(f"\\{letter}", repeatable=False)
        elif letter == "Z":
            self._at += 1
            self._end()
        elif letter and letter in "123456789":
            self._refuse(f"a back-reference, \\{letter}", start)
        elif letter == "N":
            self._at += 1
            if self._pattern.startswith("{", self._at) and not _QUANTIFIER.match(self._pattern, self._at):
                self._refuse("\\N{, a character by its name; write \\x{41} and the like", start)
            self._emit(r"[^\n]")
        elif (kind := self._kind()) is not None:
            kind = f"[{kind}]"
            self._emit(f"(?-i:{kind})" if self._groups[-1].flags.i else kind)
        else:
            self._emit(_literal(self._character(start)))

    def _quoted(self) -> str:
        r"""Return the text between ``\Q`` and ``\E``."""
        start = self._at + 1
        end = self._pattern.find(r"\E", start)
        self._at = len(self._pattern) if end < 0 else end + 2
        return self._pattern[start : len(self._pattern) if end < 0 else end]

    def _kind(self) -> str | None:
        r"""Return, for a class, the meaning of an escape such as ``\d``; ``None`` for a single character."""
        letter = self._pattern[self._at : self._at + 1]
        if letter and letter in "dDwW":
            self._at += 1
            return f"\\{letter}"
        if letter.lower() in _KINDS:
            self._at += 1
            ranges = _KINDS[letter.lower()]
            return _written(ranges if letter.islower() else _others(ranges))
        named = _PROPERTY.match(self._pattern, self._at)
        if named is None:
            return None
        self._at = named.end()
        self._properties += 1
        if self._properties > _MOST_PROPERTIES:  # each has hundreds of ranges, which RE2 copies
            self._refuse(f"more than {_MOST_PROPERTIES} properties such as \\p{{L}}")
        return f"\\{named[0]}"

    def _character(self, start: int) -> int:
        """Return the character that an escape stands for."""
        letter = self._pattern[self._at : self._at + 1]
        if not letter:
            self._refuse("a \\ at the end", start)
        if letter in "0ox":
            return self._numbered(start)
        self._at += 1
        if letter in _CONTROLS:
            return _CONTROLS[letter]
        if letter == "c":
            control = self._pattern[self._at : self._at + 1]
            if not control or not " " <= control <= "~":
                self._refuse("\\c without a character of ASCII", start)
            self._at += 1
            return ord(control.upper()) ^ 0x40
        if letter.isascii() and letter.isalnum():
            meaning = _REFUSED_ESCAPES.get(letter)
            self._refuse(f"\\{letter}, {meaning}" if meaning else f"\\{letter}, which means nothing", start)
        return ord(letter)

    def _numbered(self, start: int) -> int:
        found = _NUMBERED.match(self._pattern, self._at)
        if found is None:
            self._refuse("an escape without its number", start)
        self._at = found.end()
        octal, hexadecimal = found[1] or found[2], found[3] or found[4]
        number = int(octal or hexadecimal or "0", 8 if octal else 16)
        if number > sys.maxunicode or 0xD800 <= number <= 0xDFFF:
            self._refuse(f"\\{found[0]}, which is no character", start)
        return number

    def _class(self, start: int) -> str:
        """Return a class of characters."""
        check()
        pattern, ignores_case = self._pattern, self._groups[-1].flags.i
        if _POSIX_CLASS.match(pattern, start):
            self._refuse("a POSIX class outside of brackets; write [[:alpha:]] and the like", start)
        negated = pattern.startswith("^", self._at)
        self._at += negated
        kinds, ranges = list[str](), list[tuple[int, int]]()
        first = True
        while first or not pattern.startswith("]", self._at):
            first = False
            item = self._item(start)
            if isinstance(item, str):
                kinds.append(item)
                self._refuse_range(start)
                continue
            for character in item[:-1]:
                ranges.append((character, character))
            if not item:
                continue
            low = high = item[-1]
            if self._has_range():
                self._at += 1
                behind = self._item(start)
                if isinstance(behind, str) or not behind:
                    self._refuse("a range that ends with more than a character", start)
                high = behind[0]
                ranges += [(one, one) for one in behind[1:]]
            if high < low:
                self._refuse("a range whose end comes before its beginning", start)
            ranges.append((low, high))
        self._at += 1
        if not (kinds and ignores_case):
            return f"[{'^' * negated}{''.join(kinds)}{_written(ranges)}]"
        # RE2 adds the other cases to the whole class, PCRE2 does not add them to \w and [:alpha:].
        return f"(?-i:[{'^' * negated}{''.join(kinds)}{_written(_in_any_case(ranges))}])"

    def _has_range(self) -> bool:
        while self._pattern.startswith("\\E", self._at):
            self._at += 2
        return self._pattern.startswith("-", self._at) and not self._pattern.startswith("-]", self._at)

    def _refuse_range(self, start: int) -> None:
        if self._has_range():
            self._refuse("a range that begins with more than a character; escape the hyphen", start)

    def _item(self, start: int) -> str | list[int]:
        """Return a kind of characters, or a list of characters."""
        pattern, at = self._pattern, self._at
        if at == len(pattern):
            self._refuse("a class without an end", start)
        self._at += 1
        posix = _POSIX_CLASS.match(pattern, at)
        if posix is not None:
            return self._posix(posix)
        if pattern.startswith(("[.", "[="), at) and pattern.find(f"{pattern[at + 1]}]", at + 2) > 0:
            self._refuse("a collating element", at)
        if pattern[at] != "\\":
            return [ord(pattern[at])]
        letter = pattern[self._at : self._at + 1]
        if letter == "Q":
            return list(map(ord, self._quoted()))
        if letter == "E":
            self._at += 1
            return []
        if letter == "b":
            self._at += 1
            return [0x08]
        octal = re.compile("[1-7][0-7]{0,2}").match(pattern, self._at)
        if octal is not None:
            self._at = octal.end()
            return [int(octal[0], 8)]
        return self._kind() or [self._character(at)]

    def _posix(self, found: re.Match[str]) -> str:
        negation, name = found[1], found[2]
        if name not in _POSIX:
            self._refuse(f"an unknown class, [:{name}:]", found.start())
        self._at = found.end()
        if self._groups[-1].flags.i and name in ("lower", "upper"):
            name = "alpha"
        return f"[:{negation}{name}:]"

    def _refuse(self, what: str, at: int | None = None) -> NoReturn:
        raise NotTranslatedError(f"at position {self._at - 1 if at is None else at} it has {what}")


def _switch(old: _Flags, new: _Flags, end: str) -> str:
    """Return the beginning of a group, or a change of the options ``i`` and ``s``; the others are translated."""
    on = "i" * (new.i and not old.i) + "s" * (new.s and not old.s)
    off = "i" * (old.i and not new.i) + "s" * (old.s and not new.s)
    changes = f"{on}-{off}" if off else on
    return f"(?{changes}{end}" if changes or end == ":" else ""


def _literal(character: int) -> str:
    text = chr(character)
    return text if not text.isascii() or text.isalnum() else f"\\x{{{character:x}}}"


def _written(ranges: Iterable[tuple[int, int]]) -> str:
    return "".join(f"\\x{{{low:x}}}" if low == high else f"\\x{{{low:x}}}-\\x{{{high:x}}}" for low, high in ranges)


def _others(ranges: Ranges) -> Iterator[tuple[int, int]]:
    """Yield the ranges of all other characters."""
    begin = 0
    for low, high in ranges:
        if low > begin:
            yield begin, low - 1
        begin = high + 1
    yield begin, sys.maxunicode


def _in_any_case(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return ranges together with the letters that differ from theirs only in case."""
    letters, others = _cases()
    given = sorted(set(ranges))
    added: set[int] = set()
    for low, high in given:
        for letter in letters[bisect_left(letters, low) : bisect_right(letters, high)]:
            added.update(other for other in others[letter] if not low <= other <= high)
    return [*given, *((letter, letter) for letter in added)]


@cache
def _cases() -> tuple[list[int], dict[int, list[int]]]:
    """Return the letters that have a case, and for each letter all that differ from it only in case.

    This is Unicode's simple case folding, which PCRE2 and RE2 use.
    """
    together: dict[str, list[int]] = {}
    for code in range(_LAST_CASED):
        letter = chr(code)
        folded = letter.casefold()
        together.setdefault(folded if len(folded) == 1 else letter.lower(), []).append(code)
    others = {code: letters for letters in together.values() if len(letters) > 1 for code in letters}
    return sorted(others), others
