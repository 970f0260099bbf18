"""What a served store and its client say to each other: the calls, the messages and the errors, in one place for both.

The protocol is HTTP/1.1, and any language can speak it:

- **One request for each call of an agent:** ``POST /v1/<call>``, such as ``/v1/get``, with the token in the header
  ``Authorization: Bearer dst_...``. The calls are those of `datastore.AgentDataStore`, by the same names and with the
  same parameters (`datastore.wire.calls`). Who acts, for which user and within which limits, is decided by the token.
- **A request is a JSON object** ``{"namespace": "...", "arguments": {...}}``. Without ``namespace`` it is that of the
  token. What is left out of ``arguments`` has its default.
- **An answer is a JSON object**: ``{"result": ...}``, with the status 200, or ``{"error": {"type": "ConflictError",
  "message": ..., ...}}`` with another one (`datastore.wire.errors`). It always has a ``Content-Length``.
- **A listing is answered in lines** (``application/x-ndjson``): any number of ``{"items": [...]}``, and as the last one
  ``{"end": {"items": <number>, "cursor": ...}}`` or ``{"error": ...}``. So an answer that was cut off is never taken
  for a whole one.
- **Values are exact.** Integers have up to 4,300 digits, and 1.0 stays 1.0 (`datastore.wire.messages`).
- **A write is done once.** The client chooses 128 random bits for each call that writes, and sends them as
  ``Idempotency-Key``; if it repeats the call, it sends the same ones, and ``Datastore-Repeat`` with the
  ``Datastore-Instance`` of the server that it was first sent to (every answer names it; ``unknown`` if it has seen
  none). The server gives a repeat the answer of the first. If it cannot know that, it answers with an error, and does
  not do it again.
- **A lease belongs to whoever has its handle** (``lease_take`` returns it). A write under leases says so beside its
  arguments: ``"leases": [{"namespace": ..., "name": ..., "number": ..., "handle": ...}]``. The number is the record's
  own, and the database checks it in the same step (`datastore.calls.lending`).
- **A caller's function runs at the caller.** `AgentDataStore.modify` and `AgentDataStore.get_or_set` are requests
  before and after it (``modify_begin``, ``modify_end``, ``compute_begin``, ``compute_end``, ``compute_abandon``),
  between which the server keeps nothing.
"""

PREFIX = "/v1/"
"""What the path of a call begins with."""
JSON_TYPE = "application/json"
LINES_TYPE = "application/x-ndjson"
INSTANCE = "Datastore-Instance"
"""The header of every answer that names the process of the server: 32 random hex digits."""
KEY = "Idempotency-Key"
"""The header of a write that names it: 16 to 64 letters, digits, ``-`` or ``_``, chosen at random."""
REPEAT = "Datastore-Repeat"
"""The header of a repeated write: the `INSTANCE` that it was first sent to, or `UNKNOWN_INSTANCE`."""
UNKNOWN_INSTANCE = "unknown"
