"""The awaited twin: every call of the store, its agents and their other interfaces, for programs on an event loop.

There is one store and one meaning. An awaited call is made by the synchronous object in a thread of the store's own
(`workers`), except that `get`, `get_many` and `exists` gather first (`gathering`).
"""
