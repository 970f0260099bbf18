"""Tables that another program has made."""

from boto3.dynamodb.types import TypeSerializer

import datastore
from tests.servers import dynamodb


def make_legacy_table(documents, key):
    url = dynamodb.MINISTACK.url()
    with datastore.connect(url) as store:  # for a client; the table is made anew, with another key
        connection = store.backend._connection
        client, table = connection.client, connection.settings.table + "_old"
        client.create_table(
            TableName=table,
            KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        serialize = TypeSerializer().serialize
        for one in documents:
            client.put_item(TableName=table, Item={name: serialize(value) for name, value in one.items()})
    return url.replace("?", "_old?", 1)
