"""Documents as they lie in Firestore: read and changed past the store."""

from google.cloud.firestore_v1.types import write


def plant(store, id, change):
    """Change fields of a document as another program might; ``None`` removes one."""
    connection = store.backend._connection
    message = write.Write.pb()()
    message.update.name = connection._settings.prefix + id
    message.update_mask.field_paths.extend(change)
    for field, value in change.items():
        if value is not None:
            ((kind, content),) = value.items()
            setattr(message.update.fields[field], kind, content)
    connection.commit([message])


def stored(agent, store, key="k"):
    """The fields of a record as Firestore holds them."""
    connection = store.backend._connection
    name = connection._settings.prefix + agent.get_record(key).id
    return connection.batch_get([name], None)[name].fields
