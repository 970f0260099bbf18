"""The Redis backend, ``redis://user:password@host:6379/0`` (``rediss://`` for TLS); Valkey is the same.

There is one hash for each record, with the fields that the documentation names, and one sorted set of ids for each
user, in which every listing is a range. Scripts do what must be atomic. All keys of a user have one hash tag, so that a
script or a range never needs two nodes of a cluster.

Whether a record survives a restart depends on the server's ``appendonly``: ``datastore doctor`` reads it.

Written for Redis 6 and Valkey 8; https://redis.io/docs/latest/commands/
"""

from datastore_redis.backend import RedisBackend
from datastore_redis.urls import connect

__all__ = ["RedisBackend", "connect"]
