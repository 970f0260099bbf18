"""URLs and their parameters; what is wrong with one is said, and a password never is."""

import re

import pytest

from datastore import ConfigurationError
from datastore.urls import Url, boolean, one_of, positive, seconds


def test_a_url_is_taken_apart_and_decoded():
    url = Url("CouchDB://us%40er:p%3Aw%2Fd@db.example:5984/a%20b?timeout=3&create=no")
    assert (url.scheme, url.user, url.password, url.host, url.path) == (
        "couchdb",
        "us@er",
        "p:w/d",
        "db.example:5984",
        "/a b",
    )
    assert url.parameter("timeout", seconds, 1.0) == 3.0
    assert url.parameter("create", boolean, True) is False
    assert url.parameter("pool", int, 4) == 4
    url.check_all_taken()


def test_keyword_arguments_are_parameters_too():
    url = Url("x://", {"timeout": 2.5})
    assert url.parameter("timeout", seconds, 1.0) == 2.5


@pytest.mark.parametrize(
    ("value", "means"),
    [
        *((value, True) for value in ("true", "YES", "on", "1", 1, True)),
        *((value, False) for value in ("false", "No", "off", "0", 0, False)),
    ],
)
def test_true_and_false_are_written_in_any_of_the_usual_ways(value, means):
    assert Url("x://", {"create": value}).parameter("create", boolean, None) is means


@pytest.mark.parametrize("text", ["", "agents.db", "/tmp/x.db", "sqlite:x.db", "://x", "1x://"])
def test_what_is_no_url_is_refused_with_an_example(text):
    with pytest.raises(ConfigurationError, match=re.escape("such as 'sqlite:///agents.db'")):
        Url(text)


def test_a_url_that_is_no_text_is_refused():
    with pytest.raises(ConfigurationError, match=r"an int is not of the form"):
        Url(3)


def test_an_unknown_parameter_is_refused_with_those_that_there_are():
    url = Url("x://?time_out=3")
    url.parameter("timeout", seconds, 1.0)
    url.parameter("create", boolean, True)
    with pytest.raises(ConfigurationError, match=re.escape("x has no parameter 'time_out' (did you mean 'timeout'?)")):
        url.check_all_taken()


def test_a_parameter_without_a_value_is_not_taken_for_one_that_is_missing():
    with pytest.raises(ConfigurationError, match="the parameter 'timeout' of the x URL: it must be a number"):
        Url("x://?timeout=").parameter("timeout", seconds, 1.0)


def test_a_parameter_given_twice_is_refused():
    with pytest.raises(ConfigurationError, match="'timeout' is given twice"):
        Url("x://?timeout=3", {"timeout": 4})


@pytest.mark.parametrize(
    ("name", "value", "convert", "words"),
    [
        ("timeout", "soon", seconds, "it must be a number of seconds"),
        ("timeout", "-1", seconds, "it must be a number of seconds"),
        ("timeout", "nan", seconds, "it must be a number of seconds"),
        ("timeout", True, seconds, "it must be a number of seconds"),
        ("create", "perhaps", boolean, "it must be true or false"),
        ("mode", "half", one_of("normal", "full"), "it must be one of normal, full"),
        ("pool", "x", int, "invalid literal"),
        ("pool", "x", positive, "it must be a whole number of at least 1"),
        ("pool", "0", positive, "it must be a whole number of at least 1"),
        ("pool", True, positive, "it must be a whole number of at least 1"),
    ],
)
def test_a_wrong_parameter_is_refused_by_name(name, value, convert, words):
    with pytest.raises(ConfigurationError, match=f"the parameter '{name}' of the x URL: .*{words}"):
        Url("x://", {name: value}).parameter(name, convert, None)


def test_no_password_is_shown():
    url = Url("couchdb://user:secret@host/db?apikey=secret")
    assert repr(url) == "couchdb://user:***@host/db"
    with pytest.raises(ConfigurationError) as caught:
        url.check_all_taken()
    assert "secret" not in str(caught.value)
    with pytest.raises(ConfigurationError) as caught:
        Url("couchdb//user:secret@host/db")
    assert "secret" not in str(caught.value)
