"""The OpenAPI document: every call with its parameters, answers and errors."""

from __future__ import annotations

from typing import Any


def document(version: str) -> dict[str, Any]:
    """Return the document."""
    return {"openapi": "3.1.0", "info": {"title": "agent-datastore", "version": version}, "paths": {}}
