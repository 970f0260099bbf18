"""The DynamoDB backend, ``dynamodb://table?region=eu-west-1``; credentials are those that boto3 finds.

One table, one item a record: the partition key is the user, the sort key namespace and key, so that everything is
either a read by key or one strongly consistent query of one user's items. There is no secondary index, and no scan of
the table but to move all of it. ``get``, ``set`` and ``delete`` are one request each; batches go in hundreds.

Values are native attributes, which the console shows, where DynamoDB holds them exactly; else JSON text. What does
not fit an item is compressed, and split where it still does not fit; readers see old or new, whole. Expired records
are reclaimed by DynamoDB itself, so `DataStore.purge_expired` is not supported. Queries are filtered where the items
are: that saves their transfer, while DynamoDB reads, and charges for, the whole namespace.
"""

from datastore_dynamodb.backend import DynamoBackend
from datastore_dynamodb.legacy import open_legacy
from datastore_dynamodb.urls import connect

__all__ = ["DynamoBackend", "connect", "open_legacy"]
