"""Leases of an agent in a sandbox: what leaves it, and what becomes of them when a server or the network is gone."""

import pytest

import datastore
from datastore import BackendUnavailableError, LeaseHeldError, LeaseLostError
from datastore.scope import scope_of
from tests.patience import PATIENCE
from tests.remote.processes import ServerProcess
from tests.remote.test_transport import in_a_child


def test_a_write_under_a_lease_is_one_request_and_none_when_it_is_over(data_store, requests):
    with data_store.lease("work", renew=False) as lease:
        lease.data_store.set("key", 1)
        lease.data_store.use_namespace("other").set_many({"key": 1})
        lease.data_store.get("key")
        lease.renew()
    assert requests == ["lease_take", "set", "set_many", "get", "lease_renew", "lease_release"]
    requests.clear()
    for call in (lambda: lease.data_store.set("key", 2), lambda: lease.data_store.touch("key", ttl=60), lease.renew):
        with pytest.raises(LeaseLostError):
            call()
    assert lease.release() is False
    assert requests == []
    assert lease.data_store.get("key") == 1


def test_all_leases_of_a_client_are_renewed_in_one_request(data_store, store, requests):
    leases = [data_store.lease(f"work {number}", 60, renew=False) for number in range(30)]
    for lease in leases:  # as the thread finds them that renews
        holding = scope_of(lease.data_store).core.holding
        holding.renews, holding.due = True, 0
    requests.clear()
    before = leases[-1].expires_at
    scope_of(data_store).core.keeper.renew_due()
    assert requests == ["lease_renew"]
    assert leases[-1].expires_at > before
    data_store.close()
    assert requests == ["lease_renew", "lease_release"]
    store.agent("ann", "other").lease("work 7").release()


def test_a_client_that_goes_away_keeps_no_lease_for_longer_than_its_time(data_store, store):
    lease = data_store.lease("work", 60, renew=False)
    clock = store._core.clock
    store._core.clock = lambda: clock() + 67
    other = store.agent("ann", "other").lease("work")
    with pytest.raises(LeaseLostError, match="another holder"):
        lease.data_store.set("key", 1)
    assert not lease.is_held
    assert other.number > lease.number
    for call in (lambda: lease.data_store.set("key", 1), lease.renew):
        with pytest.raises(LeaseLostError) as caught:
            call()
        assert caught.value.message.count("is over") == caught.value.message.count("Take the lease again") == 1


def test_a_child_process_has_no_lease_of_its_parent(data_store):
    lease = data_store.lease("work")
    assert in_a_child(lambda: str(lease.is_held)) == "False"
    assert lease.is_held
    lease.renew()


def test_a_lease_outlives_the_server(tmp_path):
    """Killed and started again, it knows whose lease it is, and nobody else has got it meanwhile."""
    server = ServerProcess(tmp_path)
    with datastore.connect(server.database) as store:
        token, other = (store.tokens.mint("ann", name) for name in ("planner", "other"))
        server.start()
        try:
            with (
                datastore.connect(server.url, token=token, retry_seconds=0) as data_store,
                datastore.connect(server.url, token=other) as another,
            ):
                lease = data_store.lease("work", 600)
                lease.data_store.set("key", 1)
                server.kill()
                with pytest.raises(BackendUnavailableError):
                    lease.renew()
                assert lease.is_held
                server.start()
                with pytest.raises(LeaseHeldError, match="planner") as caught:
                    another.lease("work")
                assert caught.value.holder == "planner"
                lease.renew()
                lease.data_store.increment("key")
                assert lease.release() is True
                with another.lock("work", timeout=PATIENCE) as taken:
                    assert taken.number > lease.number
                    assert taken.data_store.increment("key") == 3
        finally:
            server.kill()
