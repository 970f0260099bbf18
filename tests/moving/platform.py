"""Data in the form of the platform that this store was specified after, in real servers.

Its rules are these. An id is ``user:namespace:base64``, with nothing escaped. A write reads the document with its id.
If there is one, the write changes its value, its metadata and its time of change, no matter whose it is.
"""

from __future__ import annotations

import os
import uuid
from contextlib import contextmanager
from decimal import Decimal
from unittest.mock import patch

import boto3
import httpx
from boto3.dynamodb.types import TypeSerializer
from google.cloud import firestore as client_library

from tests.moving.test_legacy_format import legacy
from tests.servers import couchdb, dynamodb, firestore


class Platform:
    """The platform on one database. Subclasses say how it finds, stores and removes a document."""

    def set(self, user, namespace, key, value, metadata=None, at="2024-03-02T10:00:00Z"):
        """Store a record, and return it as the platform believes it to be."""
        mine = legacy(user, namespace, key, value, metadata=metadata or {"source": "web"}, updatedAt=at)
        old = self.find(mine["_id"])
        if old is not None:
            mine = {**old, "value": value, "updatedAt": at}
        self.store(mine["_id"], mine)
        return mine


class OnCouchDB(Platform):
    """A document each in a database."""

    def __init__(self):
        self.name = f"old_{uuid.uuid4().hex}"
        self.url = couchdb.url(self.name)
        base = f"http://127.0.0.1:{couchdb.server().port}/{self.name}"
        self.client = httpx.Client(auth=(couchdb.USER, couchdb.PASSWORD), timeout=60, base_url=base)
        self.client.put("").raise_for_status()

    def find(self, id):
        answer = self.client.get(f"/{httpx.URL(path='/' + id).raw_path.decode()[1:].replace('/', '%2F')}")
        return answer.json() if answer.status_code == 200 else None

    def store(self, id, document):
        self.client.post("/_bulk_docs", json={"docs": [document]}).raise_for_status()

    def remove(self, id):
        self.store(id, {**self.find(id), "_deleted": True})

    def close(self):
        self.client.delete("")
        self.client.close()


class OnDynamoDB(Platform):
    """An item each in a table with the key ``_id``. Floats are handed over as the client wants them, as decimals."""

    def __init__(self):
        url = dynamodb.MINISTACK.url()
        self.name = url.partition("?")[0].removeprefix("dynamodb://")
        self.url = url
        self.client = boto3.client("dynamodb", region_name="eu-west-1", endpoint_url=dynamodb.MINISTACK.endpoint)
        self.client.create_table(
            TableName=self.name,
            KeySchema=[{"AttributeName": "_id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "_id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )

    def find(self, id):
        item = self.client.get_item(TableName=self.name, Key={"_id": {"S": id}}, ConsistentRead=True).get("Item")
        return None if item is None else {name: _plain(value) for name, value in item.items()}

    def store(self, id, document):
        serialize = TypeSerializer().serialize
        item = {name: serialize(_decimal(value)) for name, value in document.items()}
        self.client.put_item(TableName=self.name, Item=item)

    def remove(self, id):
        self.client.delete_item(TableName=self.name, Key={"_id": {"S": id}})

    def close(self):
        self.client.delete_table(TableName=self.name)
        self.client.close()


class OnFirestore(Platform):
    """A document each in a collection, by the client's own ``document(id)``: an id with slashes is a path."""

    def __init__(self):
        project = f"old-{uuid.uuid4().hex}"
        address = f"127.0.0.1:{firestore.server().port}"
        self.url = f"firestore://{project}/agent_data_store?emulator={address}"
        with patch.dict(os.environ, {"FIRESTORE_EMULATOR_HOST": address}):
            self.client = client_library.Client(project=project)
        self.collection = self.client.collection("agent_data_store")

    def find(self, id):
        found = self.collection.document(id).get()
        return found.to_dict() | {"_id": id} if found.exists else None

    def store(self, id, document):
        self.collection.document(id).set({name: value for name, value in document.items() if name != "_id"})

    def remove(self, id):
        self.collection.document(id).delete()

    def close(self):
        self.client.close()


PLATFORMS = {"couchdb": OnCouchDB, "dynamodb": OnDynamoDB, "firestore": OnFirestore}


@contextmanager
def platform(name):
    """The platform on a fresh database of a server."""
    if name == "couchdb":
        couchdb.start()
    opened = PLATFORMS[name]()
    try:
        yield opened
    finally:
        opened.close()


def _decimal(value):
    if isinstance(value, float):
        return Decimal(str(value))
    if isinstance(value, dict):
        return {name: _decimal(child) for name, child in value.items()}
    return [_decimal(child) for child in value] if isinstance(value, list) else value


def _plain(attribute):
    ((kind, value),) = attribute.items()
    if kind == "M":
        return {name: _plain(child) for name, child in value.items()}
    if kind == "L":
        return [_plain(child) for child in value]
    return Decimal(value) if kind == "N" else None if kind == "NULL" else value
