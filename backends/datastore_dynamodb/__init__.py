"""The DynamoDB backend, ``dynamodb://table?region=eu-west-1``; credentials are those that boto3 finds.

There is one table with one item for each record. The partition key is the user, and the sort key is the namespace and
the key. So everything is either a read by key or one strongly consistent query of one user's items. There is no
secondary index, and the table is scanned only to move all of it. ``get``, ``set`` and ``delete`` are one request each,
and batches take one per hundred records.

Values are native attributes, which the console shows, where DynamoDB holds them exactly; otherwise they are JSON text.
A value that does not fit an item is compressed, and split across items if it still does not fit; readers see either the
old or the new one, and always the whole. DynamoDB itself reclaims expired records, so `DataStore.purge_expired` is not
supported. Queries are filtered by DynamoDB: that saves the transfer, but DynamoDB still reads the whole namespace, and
charges for it.
"""

from datastore_dynamodb.backend import DynamoBackend
from datastore_dynamodb.legacy import open_legacy
from datastore_dynamodb.urls import connect

__all__ = ["DynamoBackend", "connect", "open_legacy"]
