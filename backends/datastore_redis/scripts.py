"""What Redis does in one atomic step, in its language of scripts (Lua), and the names of keys.

For each user there are these keys, under a name from the URL and with the user as hash tag:

- ``<name>:{<user>}:<namespace>:<key>``: one hash for each record, the rest of its id after the user;
- ``<name>:{<user>}``: the sorted set of the user's ids, all with score 0, so that Redis sorts them by their bytes. The
  id of a record that expires is followed by `AFTER_ID` and the time. So a listing of keys reads no record;
- ``<name>:{<user>}:expiring``: the same ids, each after its time: what has expired is one range.

And for all users there are ``<name>:format``; ``<name>:users``, the sorted set of those who have records; and
``<name>:{<name>:users}:leaving``, the marks of those who are being taken off it, each after its user: one whose
`forget` died before it had looked whether others have written meanwhile is still listed by its mark.

Scripts get all keys that they touch, as clusters demand. They compare texts byte by byte: Lua would go by the locale.
"""

from __future__ import annotations

from hashlib import sha1
from typing import NamedTuple

AFTER_ID = "\0"
"""No id holds it, and it sorts before whatever can continue an id."""
UNKNOWN = "-"
"""The token of a stored thing that has none: another program has written it."""


COUNTED = ("accessCount", "lastAccessedByAgent", "lastAccessedAt")
PROVENANCE = ("metadata", "createdByAgent", "updatedAt", *COUNTED, "updatedByAgent")
STATE = ("createdAt", "revision", "expiresAt", *PROVENANCE, "recentWrites", "recentCounts", "fences", "token")
"""What is read of a record before it is written: all but the value."""


class Script(NamedTuple):
    """A script, and the digest by which Redis knows it."""

    text: str
    digest: str


def _script(*parts: str) -> Script:
    text = "".join(parts)
    return Script(text, sha1(text.encode(), usedforsecurity=False).hexdigest())


_PLACE = """
local function place(ids, expiring, id, expires)
  local member = expires and expires ~= '' and id .. '\\0' .. expires or id
  for _, old in ipairs(redis.call('ZRANGEBYLEX', ids, '[' .. id, '(' .. id .. '\\1')) do
    if expires == false or old ~= member then
      redis.call('ZREM', ids, old)
      if #old > #id then redis.call('ZREM', expiring, old:sub(#id + 2) .. '\\0' .. id) end
    end
  end
  if expires ~= false then
    redis.call('ZADD', ids, 0, member)
    if expires ~= '' then redis.call('ZADD', expiring, 0, expires .. '\\0' .. id) end
  end
end
"""
_LESS = """
local function less(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = a:byte(i), b:byte(i)
    if x ~= y then return x < y end
  end
  return #a < #b
end
"""

SWAP = _script(
    _PLACE,
    """
local row = redis.pcall('HMGET', KEYS[1], 'token', 'expiresAt')
local token = row.err and '-' or row[1] or (redis.call('EXISTS', KEYS[1]) == 1 and '-' or '')
if token ~= ARGV[1] then
  if token == '' or row.err then return {token} end
  return {token, redis.call('HMGET', KEYS[1], "@")}
end
if ARGV[3] == 'remove' then redis.call('DEL', KEYS[1]) place(KEYS[2], KEYS[3], ARGV[2], false) return 1 end
if ARGV[3] == 'new' and token ~= '' then
  redis.call('HSET', KEYS[1], 'token', '-')  -- without memory Redis refuses this, and nothing is done
  redis.call('DEL', KEYS[1])
end
redis.call('HSET', KEYS[1], unpack(ARGV, 6))
local before = ARGV[3] == 'change' and (row[2] or '')
if before ~= ARGV[5] then
  place(KEYS[2], KEYS[3], ARGV[2], ARGV[5])
  if ARGV[5] ~= '' then redis.call('HSET', KEYS[1], 'expiresAt', ARGV[5])
  elseif before then redis.call('HDEL', KEYS[1], 'expiresAt') redis.call('PERSIST', KEYS[1]) end
end
if ARGV[5] ~= '' then redis.call('PEXPIRE', KEYS[1], ARGV[4]) end
return 1
""".replace('"@"', ", ".join(f"'{name}'" for name in STATE)),
)
"""Writes one record if it has the token that was seen, and returns 1, or what it has found instead.

Keys: the record, the ids, the expiring ones. Arguments: the token, empty for no record; the id; ``new``, ``change`` or
``remove``; after how many milliseconds Redis forgets it; when it expires, empty for never; the names and values of the
other fields to write.
"""

COUNT = _script("""
local row = redis.pcall('HMGET', KEYS[1], 'createdAt', 'recentCounts', 'lastAccessedAt')
if row.err or row[1] ~= ARGV[1] then return 0 end
local counts = row[2] or ''
for i = 1, #counts, #ARGV[2] do if counts:sub(i, i + #ARGV[2] - 1) == ARGV[2] then return 1 end end
redis.call('HINCRBY', KEYS[1], 'accessCount', ARGV[3])
redis.call('HSET', KEYS[1], 'recentCounts', (ARGV[2] .. counts):sub(1, ARGV[4]))
if (row[3] or '') <= ARGV[6] then
  redis.call('HSET', KEYS[1], 'lastAccessedByAgent', ARGV[5], 'lastAccessedAt', ARGV[6])
end
return 1
""")
"""Counts accesses of one record. Key: the record. Arguments: when it was created, the mark, how many, how long the
marks may be, the last agent and when. The token stays, because no write depends on what is counted."""

REMOVE = _script(
    _LESS,
    _PLACE,
    """
local done = {}
for i = 3, #KEYS do
  local id, kind, result = ARGV[i], redis.call('TYPE', KEYS[i]).ok, 0
  if kind == 'hash' then
    local row = redis.call('HMGET', KEYS[i], 'revision', 'expiresAt', 'createdAt')
    local live = not row[2] or less(ARGV[1], row[2])
    if not row[1] or (live and ARGV[2] == 'expired') then result = 3
    elseif ARGV[2] == 'older' and row[3] and less(ARGV[1], row[3]) then result = 4
    else result = live and 1 or 2 redis.call('DEL', KEYS[i]) end
  elseif kind ~= 'none' then result = 3 end
  if result < 3 then place(KEYS[1], KEYS[2], id, false) end
  done[#done + 1] = result
end
return done
""",
)
"""Removes records. Keys: the ids, the expiring ones, the records. Arguments: the time; ``all``, ``expired``, or
``older`` for those that were not created after it; the ids. Returns for each 0 if there was none, 1 for a live one, 2
for an expired one, 3 for one that stays, and 4 for one that is not older."""

LIVE = _script(
    _LESS,
    """
local total = redis.call('ZLEXCOUNT', KEYS[1], '[' .. ARGV[1], '(' .. ARGV[2])
for _, found in ipairs(redis.call('ZRANGEBYLEX', KEYS[2], '-', '(' .. ARGV[3] .. '\\1')) do
  local id = found:sub(#ARGV[3] + 2)
  if not less(id, ARGV[1]) and less(id, ARGV[2]) then total = total - 1 end
end
return total
""",
)
"""Counts live records. Keys: the ids, the expiring ones. Arguments: the range's start and end, and the time."""

NAMESPACES = _script(
    _LESS,
    """
local found, from, many = {}, '[' .. ARGV[1], 1
while true do
  local page, live = redis.call('ZRANGEBYLEX', KEYS[1], from, '(' .. ARGV[2], 'LIMIT', 0, many), nil
  for _, member in ipairs(page) do
    local expires = member:match('%z(.*)$')
    if not expires or less(ARGV[3], expires) then live = member:match('^[^:]*:[^:]*:') break end
  end
  if live then found[#found + 1] = live from = '[' .. live:sub(1, -2) .. ';' many = 1
  elseif #page < many then return found
  else from = '(' .. page[#page] many = math.min(many * 8, 1000) end
end
""",
)
"""Lists what the ids of namespaces with a live record begin with, skipping from one to the next. Key: the ids.
Arguments: the range's start and end, and the time."""

LEAVE = _script("redis.call('ZADD', KEYS[2], 0, ARGV[2]) return redis.call('ZREM', KEYS[1], ARGV[1])")
"""Takes a user off the list, and leaves a mark. Keys: the users, the marks. Arguments: the user, the mark."""

SCRIPTS = (SWAP, COUNT, REMOVE, LIVE, NAMESPACES, LEAVE)


class Names:
    """The keys of one store.

    Args:
        name: What all of them begin with.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.users = f"{name}:users"
        self.leaving = f"{name}:{{{self.users}}}:leaving"  # in a cluster where the users are
        self.format = f"{name}:format"

    def ids(self, user: str) -> str:
        """Return the key of a user's ids. A brace would end the hash tag; no user id is encoded to what stands for it.

        Args:
            user: What ids begin with, without the colon.
        """
        return f"{self.name}:{{{user.replace('}', '%7D') if '}' in user else user}}}"

    def index(self, user: str) -> tuple[str, str]:
        """Return the keys of a user's ids, and of those that expire."""
        ids = self.ids(user)
        return ids, f"{ids}:expiring"

    def record(self, id: str) -> str:
        """Return the key of a record."""
        user, _, rest = id.partition(":")
        return f"{self.ids(user)}:{rest}"
