"""What a token says about calls: which ones its holder may make, and how many. A server keeps to it."""

import pytest

import datastore
from datastore import ConfigurationError, PermissionDeniedError, Quota
from datastore.tokens import find
from datastore.values import checked
from datastore.wire.calls import METHODS, matching, requests_of


@pytest.fixture
def store():
    with datastore.connect("memory://") as store:
        yield store


def test_patterns_stand_for_all_calls_that_begin_alike():
    assert matching(["list_*", "get"]) == {"list_keys", "list_logs", "list_namespaces", "get"}
    assert matching(["*"]) == METHODS


@pytest.mark.parametrize("calls", ["get", 7, [7], ["gte"], ["use_namespace"], ["modify_begin"], ["g*t"]], ids=str)
def test_what_names_no_call_is_refused(store, calls):
    with pytest.raises(ConfigurationError, match="calls"):
        store.tokens.mint("ann", "reader", calls=calls)


def test_a_call_that_is_told_in_steps_allows_them_and_no_other():
    assert requests_of({"modify"}) == {"modify_begin", "modify_end"}
    assert requests_of({"set"}) == {"set"}
    assert requests_of({"get"}) == {"get", "note"}


def test_a_narrower_token_has_no_more_calls(store):
    token = store.tokens.mint("ann", "reader", calls=["get*", "exists"], quota=Quota(calls_per_minute=60))
    child = store.tokens.check(store.tokens.narrow(token, calls=["get"], quota=Quota(calls_per_minute=6)))
    assert (child.calls, child.quota) == (("get",), Quota(calls_per_minute=6))
    same = store.tokens.check(store.tokens.narrow(token))
    assert (same.calls, same.quota) == (store.tokens.check(token).calls, Quota(calls_per_minute=60))


@pytest.mark.parametrize(
    "more", [{"calls": ["set"]}, {"calls": ["*"]}, {"quota": Quota(calls_per_minute=61)}], ids=["set", "all", "rate"]
)
def test_a_narrower_token_that_may_do_more_is_refused(store, more):
    token = store.tokens.mint("ann", "reader", calls=["get*", "exists"], quota=Quota(calls_per_minute=60))
    with pytest.raises(PermissionDeniedError, match="can only be narrowed"):
        store.tokens.narrow(token, **more)


def test_what_a_child_calls_counts_for_its_ancestors(store):
    token = store.tokens.mint("ann", "reader", quota=Quota(calls_per_minute=60))
    child = store.tokens.narrow(token, quota=Quota(calls_per_minute=6))
    assert find(store._core, store.tokens.narrow(child)).rates == (60, 6)


@pytest.mark.parametrize("limit", [{"calls": ["get"]}, {"quota": Quota(calls_per_minute=1)}], ids=["calls", "rate"])
def test_what_only_a_server_keeps_to_binds_no_agent_in_this_process(store, limit):
    with pytest.raises(PermissionDeniedError, match="only a server keeps to that"):
        store.tokens.agent(store.tokens.mint("ann", "reader", **limit))
    with pytest.raises(ConfigurationError, match="only a server"):
        store.agent("ann", "reader", quota=Quota(calls_per_minute=1))


def test_a_token_of_an_earlier_version_says_nothing_about_calls(store, monkeypatch):
    def as_earlier(value):
        earlier = {name: part for name, part in value.items() if name not in ("calls", "rates")}
        del earlier["quota"]["callsPerMinute"]
        return checked(earlier)

    with monkeypatch.context() as patched:
        patched.setattr("datastore.tokens.checked", as_earlier)
        token = store.tokens.mint("ann", "reader", quota=Quota(records=1))
    assert store.tokens.check(token).calls is None
    assert store.tokens.check(token).quota == Quota(records=1)
