"""The document vault as those use it who write agents: five stories, on every backend."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, date, datetime, timedelta

import pytest

import datastore
from tests.servers import couchdb, dynamodb, firestore, postgresql, redis
from tests.servers.processes import HOST


@pytest.fixture(
    params=[
        "memory",
        "sqlite",
        pytest.param("couchdb", marks=pytest.mark.server("couchdb")),
        pytest.param("dynamodb", marks=pytest.mark.server("dynamodb")),
        pytest.param("firestore", marks=pytest.mark.server("firestore")),
        pytest.param("postgresql", marks=pytest.mark.server("postgresql")),
        pytest.param("redis", marks=pytest.mark.server("redis")),
    ]
)
def store(request, tmp_path):
    database = couchdb.borrow_database() if request.param == "couchdb" else ""
    urls = {
        "memory": lambda: "memory://",
        "sqlite": lambda: f"sqlite:///{tmp_path}/agents.db",
        "couchdb": lambda: couchdb.url(database),
        "dynamodb": dynamodb.MINISTACK.url,
        "firestore": lambda: f"firestore://test-{uuid.uuid4().hex}/agents?emulator={HOST}:{firestore.server().port}",
        "postgresql": postgresql.borrow,
        "redis": redis.borrow,
    }
    with datastore.connect(urls[request.param]()) as store:
        yield store
    if database:
        couchdb.give_back_database(database)


@pytest.fixture
def vault(store):
    return store.agent("ann", "assistant").vault


class TestAShoppingCart:
    """A cart is one document; what is put in, changed and bought is an update of it."""

    @staticmethod
    def total(cart):
        return sum(item["price"] * item["quantity"] for item in cart["items"])

    def test_from_the_first_item_to_the_order(self, vault):
        key = vault.store("carts", {"tenant": "ann", "status": "open", "items": []})

        for item in (
            {"sku": "book", "price": 12.5, "quantity": 2},
            {"sku": "pen", "price": 1.5, "quantity": 4},
        ):
            assert vault.update("carts", key, {"$push": {"items": item}})
        cart = vault.retrieve("carts", key)
        assert self.total(cart) == 31.0

        # One pen less, and no books after all: change the document, store it back.
        cart["items"] = [item for item in cart["items"] if item["sku"] != "book"]
        cart["items"][0]["quantity"] -= 1
        assert vault.store("carts", cart) == key
        assert self.total(vault.retrieve("carts", key)) == 4.5

        assert vault.update("carts", key, {"status": "ordered", "total": self.total(cart)})
        assert vault.query("carts", {"status": "open"}) == []
        assert vault.query("carts", {"status": "ordered"}, fields=["total"]) == [{"_id": key, "total": 4.5}]

    def test_abandoned_carts_are_found_by_what_is_in_them(self, vault):
        vault.store("carts", {"tenant": "ann", "status": "open", "items": [{"sku": "book", "price": 12.5}]}, "1")
        vault.store("carts", {"tenant": "bob", "status": "open", "items": []}, "2")
        vault.store("carts", {"tenant": "eve", "status": "ordered", "items": [{"sku": "book", "price": 12.5}]}, "3")
        with_something = {"status": "open", "items": {"$ne": []}}
        assert [cart["tenant"] for cart in vault.query("carts", with_something)] == ["ann"]
        books = {"items.sku": "book", "items": {"$elemMatch": {"price": {"$gt": 10}}}}
        assert [cart["tenant"] for cart in vault.query("carts", books, sort=[("tenant", -1)])] == ["eve", "ann"]

    def test_an_update_of_a_cart_that_is_gone_makes_no_new_one(self, vault):
        key = vault.store("carts", {"items": []})
        assert vault.delete("carts", key)
        assert not vault.update("carts", key, {"$push": {"items": {"sku": "book"}}})
        assert vault.count("carts") == 0


class TestTrackingWorkouts:
    """One document a workout, dated; streaks and summaries are queries on the dates."""

    today = date(2027, 3, 14)

    @pytest.fixture
    def workouts(self, vault):
        for days_ago, kind, minutes in [
            (0, "run", 30), (1, "swim", 45), (1, "run", 20), (2, "run", 25), (4, "yoga", 60), (6, "run", 40),
            (7, "swim", 50), (30, "run", 90),
        ]:  # fmt: skip
            day = self.today - timedelta(days=days_ago)
            vault.store("workout_log", {"day": day.isoformat(), "kind": kind, "minutes": minutes})
        return vault

    def streak(self, vault):
        days = {workout["day"] for workout in vault.query("workout_log", fields=["day"])}
        length = 0
        while (self.today - timedelta(days=length)).isoformat() in days:
            length += 1
        return length

    def test_a_streak_is_the_days_in_a_row(self, workouts):
        assert self.streak(workouts) == 3
        workouts.store("workout_log", {"day": (self.today - timedelta(days=3)).isoformat(), "kind": "walk"})
        assert self.streak(workouts) == 5, "the gap is closed"

    def test_the_summary_of_seven_days(self, workouts):
        since = (self.today - timedelta(days=6)).isoformat()
        week = workouts.query("workout_log", {"day": {"$gte": since}}, sort=[("day", -1), ("minutes", -1)])
        minutes = {}
        for workout in week:
            minutes[workout["kind"]] = minutes.get(workout["kind"], 0) + workout["minutes"]
        assert len(week) == 6
        assert minutes == {"run": 115, "swim": 45, "yoga": 60}
        assert [workout["minutes"] for workout in week] == [30, 45, 20, 25, 60, 40]
        assert len({workout["day"] for workout in week}) == 5, "days with a workout"

    def test_the_longest_run(self, workouts):
        (longest,) = workouts.query("workout_log", {"kind": "run"}, sort=[("minutes", -1)], limit=1)
        assert (longest["minutes"], longest["day"]) == (90, "2027-02-12")


class TestRememberingTenants:
    """Notes about tenants, found by words in any of their fields."""

    @pytest.fixture
    def notes(self, vault):
        vault.store("tenant_memory", {"tenant": "Mara", "topic": "Refund", "text": "waits for 12 EUR"}, "n1")
        vault.store("tenant_memory", {"tenant": "Jon", "topic": "Shipping", "text": "asked about a REFUND"}, "n2")
        vault.store("tenant_memory", {"tenant": "Ines", "topic": "Invoice", "text": "by mail", "tags": ["refund"]})
        vault.store("tenant_memory", {"tenant": "Ole", "topic": "Invoice", "text": "ÜBERWEISUNG kam an"}, "n4")
        return vault

    @staticmethod
    def search(vault, words):
        like = {"$regex": words, "$options": "i"}
        anywhere = {"$or": [{"topic": like}, {"text": like}, {"tags": like}]}
        return [note["tenant"] for note in vault.query("tenant_memory", anywhere, sort=[("tenant", 1)])]

    def test_words_are_found_whatever_their_case(self, notes):
        assert self.search(notes, "refund") == ["Ines", "Jon", "Mara"]
        assert self.search(notes, "überweisung") == ["Ole"]
        assert self.search(notes, "^waits") == ["Mara"]
        assert self.search(notes, "nothing like it") == []

    def test_the_search_stays_with_one_user(self, notes, store):
        theirs = store.agent("bob", "assistant").vault
        assert self.search(theirs, "refund") == []
        theirs.store("tenant_memory", {"tenant": "Zoe", "topic": "refund"})
        assert self.search(notes, "refund") == ["Ines", "Jon", "Mara"]

    def test_a_note_is_extended_where_it_is(self, notes):
        assert notes.update("tenant_memory", "n1", {"$push": {"tags": "paid"}, "$inc": {"mentions": 1}})
        note = notes.retrieve("tenant_memory", "n1")
        assert (note["tags"], note["mentions"], note["topic"]) == (["paid"], 1, "Refund")


class TestCleaningUpConversations:
    """What is older than 30 days goes; times are text in ISO 8601, which compares as time does."""

    def test_what_is_older_than_thirty_days_goes(self, vault):
        now = datetime(2027, 3, 14, 12, tzinfo=UTC)
        for days_ago in (0, 10, 29, 31, 45, 400):
            when = now - timedelta(days=days_ago)
            vault.store("conversations", {"last_message": when.isoformat(), "messages": []}, f"{days_ago} days ago")
        vault.store("conversations_archive", {"last_message": "2020-01-01T00:00:00+00:00"}, "kept")

        too_old = {"last_message": {"$lt": (now - timedelta(days=30)).isoformat()}}
        assert vault.count("conversations", too_old) == 3
        for conversation in vault.query("conversations", too_old, fields=["_id"]):
            assert vault.delete("conversations", conversation["_id"])

        assert vault.count("conversations", too_old) == 0
        left = {conversation["_id"] for conversation in vault.retrieve("conversations")}
        assert left == {"0 days ago", "10 days ago", "29 days ago"}
        assert vault.count("conversations_archive") == 1


class TestStorageStatistics:
    """How much lies in which collection."""

    def test_documents_and_bytes_per_collection(self, vault):
        for n in range(3):
            vault.store("user_profiles", {"name": "x" * n})
        vault.store("carts", {"items": [1, 2, 3]})
        vault.store("emptied", {})
        vault.clear("emptied")

        statistics = {
            name: {
                "documents": vault.count(name),
                "bytes": sum(len(json.dumps(document)) for document in vault.query(name, fields={"_id": 0})),
            }
            for name in vault.list_collections()
        }
        assert statistics == {
            "carts": {"documents": 1, "bytes": len('{"items": [1, 2, 3]}')},
            "user_profiles": {"documents": 3, "bytes": 3 * len('{"name": ""}') + 3},
        }
        assert vault.health()["collections"] == 2
