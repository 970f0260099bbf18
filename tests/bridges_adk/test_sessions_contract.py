"""What ADK asks of a session service: each case runs on ADK's own services, too."""

import asyncio

import pytest
from google.adk.errors import StaleSessionError
from google.adk.errors.already_exists_error import AlreadyExistsError
from google.adk.errors.session_not_found_error import SessionNotFoundError
from google.adk.events import Event
from google.adk.events.event_actions import EventActions, EventCompaction
from google.adk.sessions.base_session_service import GetSessionConfig
from google.genai import types

from tests.bridges_adk.services import all_in_a_loop, services

__all__ = ["services"]

SHOP = {"app_name": "shop", "user_id": "ann"}
TALK = {**SHOP, "session_id": "talk"}


def said(number, **delta):
    content = types.Content(role="user", parts=[types.Part(text=f"message {number}")])
    actions = EventActions(state_delta=delta)
    return Event(author="user", invocation_id="i", content=content, actions=actions, timestamp=1_000.0 + number)


def later(number, **delta):
    """Return an event after now: ADK's SQLite service knows a stale session by the time of its last event alone."""
    return said(number, **delta).model_copy(update={"timestamp": 4e9 + number})


def numbers(session):
    return [int(event.content.parts[0].text.rpartition(" ")[2]) for event in session.events]


@all_in_a_loop
class TestSessions:
    async def test_a_session_is_found_again_as_it_was_created(self, services):
        async with services as service:
            made = await service.create_session(**TALK, state={"mood": {"now": ["good", 1, 2.5, None, True]}})
            assert (made.id, made.app_name, made.user_id, made.events) == ("talk", "shop", "ann", [])
            found = await services.new().get_session(**TALK)
            assert found == made
            assert found.state == {"mood": {"now": ["good", 1, 2.5, None, True]}}
            assert found.last_update_time > 1_700_000_000

    async def test_without_an_id_it_gets_one(self, services):
        async with services as service:
            first, second = await service.create_session(**SHOP), await service.create_session(**SHOP)
            assert first.id
            assert first.id != second.id
            assert await service.get_session(**SHOP, session_id=second.id) == second

    async def test_an_id_is_given_once(self, services):
        async with services as service:
            await service.create_session(**TALK, state={"kept": 1})
            with pytest.raises(AlreadyExistsError, match="talk"):
                await services.new().create_session(**TALK, state={"kept": 2, "user:u": 2, "app:a": 2})
            assert (await service.get_session(**TALK)).state == {"kept": 1}
            await service.create_session(app_name="shop", user_id="bob", session_id="talk")
            await service.create_session(app_name="office", user_id="ann", session_id="talk")

    async def test_what_is_not_there_is_none_and_is_deleted_without_a_word(self, services):
        async with services as service:
            assert await service.get_session(**TALK) is None
            assert (await service.list_sessions(**SHOP)).sessions == []
            assert (await service.list_sessions(app_name="shop")).sessions == []
            await service.delete_session(**TALK)
            assert await service.get_user_state(**SHOP) == {}

    async def test_lists_are_of_a_user_or_of_all_and_begin_with_the_one_that_was_used_longest_ago(self, services):
        async with services as service:
            for user, id in (("ann", "a"), ("ann", "b"), ("bob", "c"), ("ann%", "d")):
                session = await service.create_session(app_name="shop", user_id=user, session_id=id, state={"n": id})
                await service.append_event(session, said({"a": 3, "b": 1, "c": 2, "d": 0}[id], **{"user:who": user}))
            await service.create_session(app_name="shop2", user_id="ann", session_id="e", state={"app:other": 1})
            listed = (await services.new().list_sessions(**SHOP)).sessions
            assert [(one.id, one.state) for one in listed] == [
                ("b", {"n": "b", "user:who": "ann"}),
                ("a", {"n": "a", "user:who": "ann"}),
            ]
            assert [one.events for one in listed] == [[], []]
            assert [one.last_update_time for one in listed] == [1_001.0, 1_003.0]
            everybody = (await service.list_sessions(app_name="shop")).sessions
            assert [(one.id, one.user_id, one.state["user:who"]) for one in everybody] == [
                ("d", "ann%", "ann%"), ("b", "ann", "ann"), ("c", "bob", "bob"), ("a", "ann", "ann"),
            ]  # fmt: skip

    async def test_a_session_is_deleted_with_its_events_and_can_begin_anew(self, services):
        async with services as service:
            session = await service.create_session(**TALK)
            other = await service.create_session(**SHOP, session_id="other")
            await service.append_event(session, said(1, mine=1, **{"user:ours": 1, "app:all": 1}))
            await service.append_event(other, said(2))
            await service.delete_session(**TALK)
            assert await services.new().get_session(**TALK) is None
            with pytest.raises(SessionNotFoundError):
                await service.append_event(session, said(3, **{"user:ours": 3}))
            assert [one.id for one in (await service.list_sessions(**SHOP)).sessions] == ["other"]
            again = await service.create_session(**TALK)
            assert (again.events, again.state) == ([], {"user:ours": 1, "app:all": 1})
            await service.append_event(again, said(4))
            assert numbers(await services.new().get_session(**TALK)) == [4]
            assert numbers(await service.get_session(**SHOP, session_id="other")) == [2]

    async def test_what_is_returned_is_a_copy(self, services):
        async with services as service:
            session = await service.create_session(**TALK, state={"own": {"a": []}, "user:u": {"b": []}})
            await service.append_event(session, said(1, late={"c": []}))
            found = await service.get_session(**TALK)
            for value in (found.state["own"]["a"], found.state["user:u"]["b"], found.state["late"]["c"]):
                value.append("changed")
            found.events.clear()
            again = await service.get_session(**TALK)
            assert again.state == {"own": {"a": []}, "user:u": {"b": []}, "late": {"c": []}}
            assert numbers(again) == [1]


@all_in_a_loop
class TestState:
    async def test_state_is_of_the_session_the_user_and_the_app(self, services):
        async with services as service:
            await service.create_session(**TALK, state={"own": 1, "user:u": 2, "app:a": 3, "temp:t": 4})
            assert (await service.get_session(**TALK)).state == {"own": 1, "user:u": 2, "app:a": 3}
            another = await services.new().create_session(**SHOP, state={"app:b": 5})
            assert another.state == {"user:u": 2, "app:a": 3, "app:b": 5}
            of_bob = await service.create_session(app_name="shop", user_id="bob", state={"user:u": 6})
            assert of_bob.state == {"user:u": 6, "app:a": 3, "app:b": 5}
            elsewhere = await service.create_session(app_name="office", user_id="ann")
            assert elsewhere.state == {}
            assert await service.get_user_state(**SHOP) == {"u": 2}
            assert await service.get_user_state(app_name="shop", user_id="bob") == {"u": 6}

    async def test_an_event_changes_what_it_names(self, services):
        async with services as service:
            session = await service.create_session(**TALK, state={"a": 1, "b": {"deep": 1}, "user:u": 1, "app:x": 1})
            await service.append_event(session, said(1, a=2, b={"other": 2}, **{"user:u": 2, "app:y": None}))
            await service.append_event(session, said(2, a=None, **{"user:v": [3]}))
            expected = {
                "a": None, "b": {"other": 2}, "user:u": 2, "user:v": [3], "app:x": 1, "app:y": None,
            }  # fmt: skip
            assert session.state == expected
            assert (await services.new().get_session(**TALK)).state == expected

    async def test_what_is_temporary_is_seen_in_the_session_and_kept_nowhere(self, services):
        async with services as service:
            session = await service.create_session(**TALK)
            event = await service.append_event(session, said(1, kept=1, **{"temp:scratch": object}))
            assert session.state == {"kept": 1, "temp:scratch": object}
            assert event.actions.state_delta == {"kept": 1}
            found = await services.new().get_session(**TALK)
            assert found.state == {"kept": 1}
            assert found.events[0].actions.state_delta == {"kept": 1}

    async def test_what_is_changed_in_a_session_without_an_event_is_not_stored(self, services):
        async with services as service:
            session = await service.get_session(**TALK) or await service.create_session(**TALK, state={"a": 1})
            session.state["a"] = 2
            session.state["b"] = 2
            await service.append_event(session, said(1, c=3))
            assert (await services.new().get_session(**TALK)).state == {"a": 1, "c": 3}


@all_in_a_loop
class TestEvents:
    async def test_events_come_back_as_they_were_in_their_order(self, services):
        parts = [
            types.Part(text="日本 \x7f é"),
            types.Part(inline_data=types.Blob(mime_type="image/png", data=bytes(range(256)))),
            types.Part(function_call=types.FunctionCall(id="c", name="f", args={"a": [1, 2.5, None, {"b": True}]})),
            types.Part(function_response=types.FunctionResponse(id="c", name="f", response={"out": 2**53})),
            types.Part(text="thinking", thought=True, thought_signature=b"\xff\x00"),
        ]
        events = [
            Event(author="user", invocation_id="1", content=types.Content(role="user", parts=parts), timestamp=1.5),
            Event(
                author="agent",
                invocation_id="1",
                branch="root.agent",
                long_running_tool_ids={"c", "d"},
                error_code="429",
                error_message="slow down",
                turn_complete=True,
                custom_metadata={"trace": {"id": [1]}},
                usage_metadata=types.GenerateContentResponseUsageMetadata(total_token_count=7),
                timestamp=2.25,
            ),
            Event(
                author="agent",
                invocation_id="2",
                timestamp=3.125,
                actions=EventActions(
                    state_delta={"a": {"b": [None]}},
                    artifact_delta={"file.txt": 3},
                    transfer_to_agent="other",
                    escalate=True,
                    compaction=EventCompaction(
                        start_timestamp=1.0,
                        end_timestamp=2.0,
                        compacted_content=types.Content(role="model", parts=[types.Part(text="in short")]),
                    ),
                ),
            ),
            Event(author="agent", invocation_id="3", output={"any": ["thing"]}, timestamp=4.0),
        ]
        async with services as service:
            session = await service.create_session(**TALK)
            for event in events:
                assert await service.append_event(session, event) is event
            assert session.events == events
            assert session.last_update_time == 4.0
            found = await services.new().get_session(**TALK)
            assert found.events == events
            assert found.last_update_time == 4.0

    async def test_what_is_partial_is_not_stored(self, services):
        async with services as service:
            session = await service.create_session(**TALK)
            event = said(1, a=1)
            event.partial = True
            assert await service.append_event(session, event) is event
            assert (session.events, session.state) == ([], {})
            found = await service.get_session(**TALK)
            assert (found.events, found.state) == ([], {})

    async def test_as_many_are_read_as_are_asked_for(self, services):
        async with services as service:
            session = await service.create_session(**TALK, state={"n": 0})
            for number in range(70):
                await service.append_event(session, said(number, n=number))

            async def read(**config):
                found = await service.get_session(**TALK, config=GetSessionConfig(**config))
                assert found.state == {"n": 69}
                return numbers(found)

            assert await read() == list(range(70))
            assert await read(num_recent_events=0) == []
            assert await read(num_recent_events=1) == [69]
            assert await read(num_recent_events=3) == [67, 68, 69]
            assert await read(num_recent_events=1_000) == list(range(70))
            assert await read(after_timestamp=1_067.0) == [67, 68, 69]
            assert await read(after_timestamp=1_004.5) == list(range(5, 70))
            assert await read(after_timestamp=1.0) == list(range(70))
            assert await read(after_timestamp=2_000.0) == []
            assert await read(after_timestamp=1_065.0, num_recent_events=2) == [68, 69]
            assert await read(after_timestamp=1_069.0, num_recent_events=2) == [69]

    async def test_a_session_that_is_not_there_takes_no_event(self, services):
        async with services as service:
            session = await service.create_session(**TALK)
            session.id = "another"
            with pytest.raises(SessionNotFoundError, match="another"):
                await service.append_event(session, said(1, **{"user:u": 1}))
            assert await service.get_user_state(**SHOP) == {}

    async def test_tasks_append_to_one_session_at_the_same_moment(self, services):
        async with services as service:
            session = await service.create_session(**TALK)
            await asyncio.gather(*(service.append_event(session, said(n, **{f"k{n}": n})) for n in range(8)))
            found = await services.new().get_session(**TALK)
            assert sorted(numbers(found)) == list(range(8))
            assert found.state == session.state == {f"k{n}": n for n in range(8)}


@all_in_a_loop
class TestStaleness:
    async def test_a_stale_session_is_refused_and_nothing_of_the_event_is_kept(self, services):
        async with services as service:
            await service.create_session(**TALK)
            one, other = await service.get_session(**TALK), await services.new().get_session(**TALK)
            await service.append_event(one, later(1, a=1))
            late = later(0, a=2, b=2, **{"user:u": 2, "app:x": 2})
            if services.name == "ADK's in memory":  # those of ADK's that store sessions refuse what this one takes
                await services.new().append_event(other, late)
                return
            with pytest.raises(StaleSessionError):
                await services.new().append_event(other, late)
            assert other.events == []
            assert other.state == {}
            found = await services.new().get_session(**TALK)
            assert (numbers(found), found.state) == ([1], {"a": 1})
            await service.append_event(one, later(2))
            await service.append_event(await services.new().get_session(**TALK), later(3))
            assert numbers(await service.get_session(**TALK)) == [1, 2, 3]

    async def test_a_session_that_was_copied_or_read_in_part_is_not_stale(self, services):
        async with services as service:
            session = await service.create_session(**TALK)
            for number in range(3):
                await service.append_event(session, said(number))
            config = GetSessionConfig(num_recent_events=0)
            in_part = await services.new().get_session(**TALK, config=config)
            await service.append_event(in_part.model_copy(deep=True), said(3))
            assert numbers(await service.get_session(**TALK)) == [0, 1, 2, 3]
