"""Bridges: the storage contracts of agent frameworks, over the public calls of an agent's store. See ``docs/bridges``.

Each module is the bridge to one contract, and is made from an `AgentDataStore`: what a framework stores belongs to that
user, in that namespace, with provenance, grants, quotas and expiry. Nothing here is imported until it is used, and each
module needs the extra of its framework:

| module | is | extra |
|---|---|---|
| `datastore.bridges.anthropic_memory` | the memory tool of Anthropic's SDK | ``anthropic`` |
| `datastore.bridges.claude_sessions` | the sessions of the Claude Agent SDK | ``claude-agent`` |
| `datastore.bridges.google_adk_artifacts` | the artifacts of Google's ADK | ``google-adk`` |
| `datastore.bridges.google_adk_memory` | the memory of Google's ADK | ``google-adk`` |
| `datastore.bridges.google_adk_sessions` | the sessions of Google's ADK | ``google-adk`` |
| `datastore.bridges.key_value` | py-key-value, the storage of FastMCP | ``key-value`` |
| `datastore.bridges.langchain_stores` | LangChain's stores of values and bytes | ``langchain`` |
| `datastore.bridges.langgraph_checkpoints` | LangGraph's checkpointer | ``langgraph`` |
| `datastore.bridges.langgraph_store` | LangGraph's store | ``langgraph`` |
| `datastore.bridges.openai_sessions` | the sessions of the OpenAI Agents SDK | ``openai-agents`` |
| `datastore.bridges.pydantic_ai_conversations` | Pydantic AI's conversations | ``pydantic-ai`` |

A bridge imports only what ``datastore`` itself exports, so that each shows that the public calls are enough.
"""

from __future__ import annotations
