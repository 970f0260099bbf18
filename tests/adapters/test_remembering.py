"""Marks, by which a record knows the writes that it has seen."""

from __future__ import annotations

import os

import pytest

from datastore.adapters.remembering import MARK_LENGTH, REMEMBERED, mark_of, new_mark, remember, remembers


def test_the_last_marks_are_kept_the_newest_first():
    marks = ""
    for number in range(REMEMBERED + 3):
        marks = remember(marks, mark_of(str(number)))
    assert marks == "".join(mark_of(str(number)) for number in range(REMEMBERED + 2, 2, -1))
    assert all(remembers(marks, mark_of(str(number))) for number in range(3, REMEMBERED + 3))
    assert not any(remembers(marks, mark_of(str(number))) for number in range(3))


def test_a_mark_is_not_found_across_two_others():
    marks = "01234567" + "89abcdef"
    assert not remembers(marks, "456789ab")
    assert not remembers("aaaaaaab" + "aaaaaaaa" + "baaaaaaa", "abaaaaaa")
    assert remembers("aaaaaaab" + "aaaaaaaa", "aaaaaaaa")  # also after a place where it only seems to be


@pytest.mark.parametrize("stored", [None, 7, b"01234567", ["01234567"]])
def test_what_is_no_text_holds_no_mark(stored):
    assert not remembers(stored, "01234567")
    assert remember(stored, "01234567") == "01234567"


def test_new_marks_differ():
    marks = [new_mark() for _ in range(1_000)]
    assert {len(mark) for mark in marks} == {MARK_LENGTH}
    assert all(int(mark, 16) >= 0 for mark in marks)
    assert len(set(marks)) > 990  # of 2**32


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_makes_marks_of_its_own():
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.write(write, "".join(new_mark() for _ in range(4)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    own = "".join(new_mark() for _ in range(4))
    theirs = os.read(read, 1_000).decode()
    assert len(theirs) == len(own)
    assert theirs != own
