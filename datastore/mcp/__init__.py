"""The calls of an agent as tools of the Model Context Protocol, for any MCP client. See ``docs/mcp.md``.

`tools` says which tools there are and what they do, `results` what a model is told, and `serving` connects both with
the official ``mcp`` package, over stdio or as a part of a host's own application. It needs the extra ``mcp``.
"""

from datastore.mcp.serving import Access, Allowed, MCPApp, TokenAccess, create_mcp_server, serve_stdio

__all__ = ["Access", "Allowed", "MCPApp", "TokenAccess", "create_mcp_server", "serve_stdio"]
