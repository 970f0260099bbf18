"""The client of a store that another process serves (`datastore.server`): for agents that hold no credentials.

It needs nothing beyond the standard library: `http.client` over a Unix socket, TCP or TLS.
"""
