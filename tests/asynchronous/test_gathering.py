"""Reads gather: those of one turn of the loop leave together, and so do those that come while one is under way."""

import asyncio
import time

import pytest

from datastore import DamagedRecordError, InvalidNameError, InvalidValueError, connect_async
from datastore.errors import BackendUnavailableError, DeadlineExceededError, PermissionDeniedError
from tests.asynchronous.backends import Held, opened, turns
from tests.asynchronous.everywhere import waves
from tests.patience import PATIENCE

pytestmark = pytest.mark.filterwarnings("error")


async def behind_one(backend: Held, agent, *calls):
    """Begin a read that the database holds back, then the given calls, and return what these came to."""
    backend.reads.clear()
    backend.hold = "read"
    first = asyncio.ensure_future(agent.exists("first"))
    await backend.until_entered()
    others = [asyncio.ensure_future(call) for call in calls]
    await turns()
    backend.hold = ""
    backend.release()
    await first
    return await asyncio.gather(*others, return_exceptions=True)


def test_a_read_that_finds_none_under_way_waits_for_no_other():
    async def main():
        backend = Held()
        async with opened(backend) as store:
            agent = store.agent("u", "a")
            await agent.set("key", 1)
            for number in range(1, 4):
                assert await agent.get("key") == 1
                assert len(backend.reads) == number

    asyncio.run(main())


def test_a_hundred_reads_of_one_turn_are_one_request():
    async def main():
        backend = Held()
        async with opened(backend) as store:
            agent = store.agent("u", "a")
            await agent.set_many({f"key{number}": number for number in range(100)})
            found = await asyncio.gather(*(agent.get(f"key{number}") for number in range(100)))
            assert found == list(range(100))
            assert len(backend.reads) == 1

    asyncio.run(main())


def test_those_that_come_meanwhile_share_a_request_and_equal_keys_are_read_once():
    async def main():
        backend = Held()
        async with opened(backend) as store:
            agent = store.agent("u", "a")
            await agent.set_many({"a": {"of": "a"}, "b": 2})
            found = await behind_one(
                backend, agent, agent.get("a"), agent.get("a"), agent.get_many(["b", "a", "no"]), agent.exists("b"),
                agent.get("no", "default"), agent.exists("no"),
            )  # fmt: skip
            assert found == [{"of": "a"}, {"of": "a"}, {"b": 2, "a": {"of": "a"}}, True, "default", False]
            assert list(found[2]) == ["b", "a"]
            assert len(backend.reads) == 2
            assert len(backend.reads[1]) == len(set(backend.reads[1])) == 3

    asyncio.run(main())


def test_each_caller_has_a_value_of_its_own():
    async def main():
        backend = Held()
        async with opened(backend) as store:
            agent = store.agent("u", "a")
            stored = {"list": [1, {"deep": [2]}], "number": 1, "text": "t", "none": None, "yes": True, "float": 1.5}
            await agent.set("key", stored)
            found = await behind_one(backend, agent, *(agent.get("key") for _ in range(3)), agent.get_many(["key"]))
            values = [*found[:3], found[3]["key"]]
            for value in values:
                assert value == stored
                assert [type(member) for member in value.values()] == [type(member) for member in stored.values()]
                value["list"][1]["deep"].append("changed")
                value["list"].append("changed")
                del value["text"]
            assert await agent.get("key") == stored

    asyncio.run(main())


def test_the_access_of_each_caller_is_counted():
    async def main():
        backend = Held()
        async with opened(backend) as store:
            agent, other = store.agent("u", "a"), store.agent("u", "b")
            await agent.set("key", 1)
            await behind_one(
                backend, agent, agent.get("key"), agent.get("key"), other.get("key"), agent.get_many(["key"]),
                agent.exists("key"), store.host("u").get("key"),
            )  # fmt: skip
            record = await agent.get_record("key")
            assert record.access_count == 4
            await behind_one(backend, agent, agent.get("key"), other.get("key"))
            assert (await agent.get_record("key")).last_accessed_by_agent == "b"

    asyncio.run(main())


def test_users_and_namespaces_share_a_request_and_see_only_what_is_theirs():
    async def main():
        backend = Held()
        async with opened(backend) as store:
            agents = [store.agent(user, "a", namespace) for user in ("u", "v") for namespace in ("m", "n")]
            for agent in agents:
                await agent.set("key", [agent.user_id, agent.namespace])
            found = await behind_one(backend, agents[0], *(agent.get("key") for agent in agents))
            assert found == [[agent.user_id, agent.namespace] for agent in agents]
            assert len(backend.reads) == 2

    asyncio.run(main())


def test_users_with_databases_of_their_own_do_not_wait_for_each_other():
    async def main():
        async with connect_async("sqlite://:memory:?isolation=database") as store:
            agents = [store.agent(f"user{number % 3}", "a") for number in range(30)]
            for agent in agents[:3]:
                await agent.set("key", agent.user_id)
            found = await asyncio.gather(*(agent.get("key") for agent in agents))
            assert found == [agent.user_id for agent in agents]

    asyncio.run(main())


def test_whoever_wrote_sees_the_write_even_while_a_read_is_under_way():
    async def main():
        backend = Held()
        async with opened(backend) as store:
            agent = store.agent("u", "a")
            await agent.set("key", "old")
            backend.hold = "read"
            before = asyncio.ensure_future(agent.get("key"))
            await backend.until_entered()
            assert await agent.set("key", "new")  # a write does not wait for reads
            after = asyncio.ensure_future(agent.get("key"))
            await turns()
            backend.hold = ""
            backend.release()
            assert await after == "new"
            assert await before in ("old", "new")

    asyncio.run(main())


def test_writes_do_not_gather():
    async def main():
        backend = Held()
        async with opened(backend) as store:
            agent = store.agent("u", "a")
            await asyncio.gather(*(agent.set(f"key{number}", number) for number in range(20)))
            assert [len(writes) for writes in backend.writes] == [1] * 20

    asyncio.run(main())


def test_a_wrong_key_is_the_error_of_the_caller_alone():
    async def main():
        backend = Held()
        async with opened(backend) as store:
            agent = store.agent("u", "a")
            await agent.set("key", 1)
            found = await behind_one(backend, agent, agent.get(""), agent.get("key"), agent.get_many([7]))
            assert [type(one) for one in found[:2]] == [InvalidNameError, int]
            assert isinstance(found[2], InvalidNameError)

    asyncio.run(main())


def test_a_damaged_record_is_the_error_of_those_who_asked_for_it():
    class Damaged(Held):
        def read(self, ids, fields):
            found = super().read(ids, fields)
            for id in ids:
                if id.startswith("secret:"):
                    raise DamagedRecordError("it does not hold", id=id)
            return found

    async def main():
        backend = Damaged()
        async with opened(backend) as store:
            agent, other = store.agent("u", "a"), store.agent("secret", "a")
            await agent.set("key", 1)
            found = await behind_one(backend, agent, agent.get("key"), other.get("mine"), agent.get("no", 2))
            assert found[0] == 1
            assert found[2] == 2
            assert isinstance(found[1], DamagedRecordError)

    asyncio.run(main())


@pytest.mark.parametrize("error", [BackendUnavailableError, PermissionDeniedError])
def test_an_outage_is_an_error_for_each_that_names_only_its_own_key(error):
    class Broken(Held):
        broken = False

        def read(self, ids, fields):
            found = super().read(ids, fields)
            if self.broken and len(self.reads) > 1:
                raise error("refused", backend="memory")
            return found

    async def main():
        backend = Broken()
        async with opened(backend, retry_seconds=0) as store:
            agent, other = store.agent("u", "a"), store.agent("secret", "a", "hidden")
            backend.broken = True
            found = await behind_one(backend, agent, other.get("theirs"), agent.get("mine"), agent.get("too"))
            assert [type(one) for one in found] == [error] * 3
            assert len({id(one) for one in found}) == 3
            assert "'theirs' of namespace 'hidden'" in str(found[0])
            for mine, key in ((found[1], "mine"), (found[2], "too")):
                assert f"'{key}'" in str(mine)
                assert "theirs" not in str(mine)
                assert "hidden" not in str(mine)
            if error is BackendUnavailableError:
                assert len(backend.reads) == 2, "an outage need not be found out by each"

    asyncio.run(main())


def test_a_value_that_does_not_fit_its_type_is_the_error_of_the_caller_alone():
    async def main():
        backend = Held()
        async with opened(backend) as store:
            agent = store.agent("u", "a")
            await agent.set("key", {"a": 1})
            found = await behind_one(
                backend, agent, agent.get("key", type=int), agent.get("key", type=dict[str, int]),
                agent.get("key", type="no type"), agent.get("key"),
            )  # fmt: skip
            assert [type(one) for one in found] == [InvalidValueError, dict, InvalidValueError, dict]
            assert (await agent.get_record("key")).access_count == 2

    asyncio.run(main())


def test_whoever_waits_too_long_is_told_so_and_those_with_time_left_get_their_answer(monkeypatch):
    passed, real = 0.0, time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: real() + passed)

    async def main():
        nonlocal passed
        backend = Held()
        async with opened(backend, max_seconds=300) as store:
            agent = store.agent("u", "a")
            await agent.set("key", 1)
            backend.hold = "read"
            first = asyncio.ensure_future(agent.exists("first"))
            await backend.until_entered()
            early = asyncio.ensure_future(agent.get("key"))
            await turns()
            passed += 400
            late = asyncio.ensure_future(agent.get("key"))
            await turns()
            backend.hold = ""
            backend.release()
            await first
            with pytest.raises(DeadlineExceededError, match="300 s"):
                await early
            assert await late == 1

    asyncio.run(main())


def test_a_batch_is_no_larger_than_the_backend_takes():
    async def main():
        backend = Held()
        async with opened(backend) as store:
            agent = store.agent("u", "a")
            most = backend.capabilities.read_batch
            await agent.set_many({f"key{number}": number for number in range(most + 50)})
            found = await behind_one(backend, agent, *(agent.get(f"key{number}") for number in range(most + 50)))
            assert found == list(range(most + 50))
            assert [len(ids) for ids in backend.reads] == [1, most, 50]

    asyncio.run(main())


def test_with_one_worker_a_write_gets_its_turn_between_reads():
    async def main():
        backend = Held()
        async with opened(backend, workers=1) as store:
            agent = store.agent("u", "a")
            stop = False

            async def read():
                while not stop:
                    await agent.get("key")

            readers = [asyncio.ensure_future(read()) for _ in range(4)]
            for number in range(20):
                await agent.set("key", number)
            stop = True
            await asyncio.gather(*readers)

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


@pytest.mark.parametrize("url", ["memory://", "sqlite:///{}/store.db"], ids=["memory", "sqlite"])
def test_ten_thousand_in_waves_with_cancellations_are_all_right(url, tmp_path):
    async def main():
        async with connect_async(url.format(tmp_path)) as store:
            agents = [store.agent(f"user{number}", "a") for number in range(5)]
            assert 0 < await waves(agents, number=20, size=500, cancelled=100, keys=100) <= 2_000
            assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_reads_of_an_agent_with_grants_do_not_leave_with_those_of_others():
    """The request of others would hand over what that agent may not read; and its own would refuse them theirs."""

    async def main():
        backend = Held()
        async with opened(backend) as store:
            plain = store.agent("u", "a", "closed")
            granted = store.agent("u", "b", "closed", grants={"open": "write"})
            await plain.set("key", 1)
            await granted.use_namespace("open").set("key", 2)
            for first, second in ((plain, granted), (granted, plain)):
                backend.hold = "read"
                calls = [first.get("no"), first.get("key"), second.get("key"), first.get("key")]
                reads = [asyncio.ensure_future(call) for call in calls]
                await backend.until_entered()
                await turns()
                backend.hold = ""
                backend.release(len(reads))
                found = await asyncio.gather(*reads, return_exceptions=True)
                of_granted = found[2:3] if second is granted else [*found[:2], found[3]]
                assert all(isinstance(one, PermissionDeniedError) for one in of_granted)
                assert (found[2] if second is plain else found[1]) == 1

    asyncio.run(main())


def test_an_agent_with_grants_that_is_the_first_to_be_awaited_leaves_the_others_as_they_are():
    """What a store has for its awaited calls is made once, and knows which users have databases of their own."""

    async def main():
        async with connect_async("memory://?isolation=database") as store:
            granted = store.agent("u", "b", "open", grants={"open": "write"})
            await granted.set("key", 1)
            one, other = store.agent("u", "a"), store.agent("v", "a")
            await asyncio.gather(one.set("key", 1), other.set("key", 2))
            assert await asyncio.gather(one.get("key"), other.get("key"), granted.get("key")) == [1, 2, 1]

    asyncio.run(main())


def test_reads_of_one_agent_with_grants_gather():
    async def main():
        backend = Held()
        async with opened(backend) as store:
            agent = store.agent("u", "a", "open", grants={"open": "write", "more": "read"})
            await agent.set("key", 1)
            found = await behind_one(
                backend, agent, agent.get("key"), agent.get("no"), agent.use_namespace("more").get("key")
            )
            assert found == [1, None, None]
            assert len(backend.reads) == 2

    asyncio.run(main())
