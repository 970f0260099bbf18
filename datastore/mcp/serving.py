"""The tools as an MCP server: over stdio for one token, or in a host's own application for many."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Container
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from mcp.server import Server, ServerRequestContext
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    ToolAnnotations,
)
from mcp_types import Tool as ListedTool

from datastore.arguments import shown
from datastore.errors import DataStoreError, InternalError, InvalidValueError, PermissionDeniedError, logger
from datastore.limits import MAX_VALUE_BYTES
from datastore.mcp.results import DEFAULT_SIZE, LEAST_SIZE, error_text, text_of
from datastore.mcp.tools import BY_NAME, TOOLS, Tool
from datastore.tokens import bind
from datastore.wire.answered import Answer, Answers, checked_key, mark_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from datastore.asynchronous.agent import AsyncAgentDataStore
    from datastore.asynchronous.tokens import AsyncTokens
    from datastore.tokens import Token

INSTRUCTIONS = (
    "A store that keeps JSON values under keys, between runs and for other agents of the same user. Keys lie in "
    "namespaces; every tool uses the one that you begin in, unless you give another. Look with list_keys, find or "
    "list_namespaces before you store, and use keys that others can guess, such as 'plan' or 'notes/2026-05-01'. "
    "An error tells you what to do."
)


KEY = "agent-datastore/idempotency-key"
"""What a call of a tool may have in its ``_meta``: 16 to 64 letters, digits, ``-`` or ``_``, chosen at random."""
_DONE, _FAILED = 200, 400


class Allowed(NamedTuple):
    """What somebody may do, so far as it decides which tools there are."""

    writes: bool
    """Whether anything may be written anywhere."""
    calls: Container[str] | None = None
    """The calls that may be made; ``None`` for all."""

    def has(self, tool: Tool) -> bool:
        """Return whether a tool is one of those that there are."""
        return (self.writes or not tool.writes) and (self.calls is None or tool.name in self.calls)


class Access(Protocol):
    """Says who is asking. A host has its own; `TokenAccess` is for one token.

    It may have a method ``answers(request)`` as well, which returns the `datastore.wire.answered.Answers` of the sender
    and of nobody else. Then a call that is repeated with its key is made once.
    """

    async def allowed(self, request: Any) -> Allowed:
        """Return what the sender of a request may do.

        Args:
            request: The request, as Starlette has it; ``None`` over stdio.

        Raises:
            InvalidTokenError: If the token is not valid.
        """

    def calling(self, request: Any, call: str) -> AbstractAsyncContextManager[AsyncAgentDataStore]:
        """Give the sender's store for one call, which is made while the context lasts.

        Args:
            request: As `allowed`.
            call: The name of the call.

        Raises:
            InvalidTokenError: When it is entered, if the token is not valid.
            PermissionDeniedError: When it is entered, if this call may not be made.
        """


class TokenAccess:
    """Whoever asks has one token. It is checked with every request, so that it is of no use once it has ended.

    Args:
        tokens: The tokens of the store.
        token: The token.
    """

    def __init__(self, tokens: AsyncTokens, token: str) -> None:
        self._tokens = tokens
        self._token = token
        self._answers = Answers()

    def answers(self, request: Any) -> Answers:
        """See `Access`."""
        return self._answers

    async def allowed(self, request: Any) -> Allowed:
        """See `Access.allowed`.

        Raises:
            InvalidTokenError: If the token is not valid.
            PermissionDeniedError: If it limits how many calls its holder may make, which only a server counts.
        """
        return allowed_by(await self._check())

    @asynccontextmanager
    async def calling(self, request: Any, call: str) -> AsyncIterator[AsyncAgentDataStore]:
        """See `Access.calling`."""
        token = await self._check()
        if token.calls is not None and call not in token.calls:
            raise not_allowed(call)
        yield bind(self._tokens.sync._core, token).asynchronous

    async def _check(self) -> Token:
        token = await self._tokens.check(self._token)
        if token.quota is not None and token.quota.calls_per_minute is not None:
            raise PermissionDeniedError(
                "this token limits how many calls its holder may make, and only `datastore serve` counts them",
                by_the_store=True,
            )
        return token


def allowed_by(token: Token) -> Allowed:
    """Return what a token allows."""
    return Allowed(token.grants is None or "write" in token.grants.values(), token.calls)


def not_allowed(call: str) -> PermissionDeniedError:
    """Return the error for a call that a token does not allow."""
    return PermissionDeniedError(f"this token does not allow the call {call}", by_the_store=True)


def create_mcp_server(access: Access, *, max_result: int = DEFAULT_SIZE) -> Server[Any]:
    """Return an MCP server whose tools are the calls of an agent.

    Args:
        access: Says who is asking.
        max_result: How many characters one result may have, at least 1,000: what does not fit is left out or cut, and
            the result says so.

    Raises:
        InvalidValueError: If ``max_result`` is too small.
    """
    if max_result < LEAST_SIZE:
        raise InvalidValueError(f"max_result is {max_result}; a result needs at least {LEAST_SIZE} characters")

    async def list_tools(
        context: ServerRequestContext[Any, Any], params: PaginatedRequestParams | None
    ) -> ListToolsResult:
        try:
            allowed = await access.allowed(context.request)
        except DataStoreError as error:
            raise MCPError(INVALID_REQUEST, error_text(error)) from None
        return ListToolsResult(tools=[_listed(tool) for tool in TOOLS if allowed.has(tool)])

    async def call_tool(context: ServerRequestContext[Any, Any], params: CallToolRequestParams) -> CallToolResult:
        tool = BY_NAME.get(params.name)
        if tool is None:
            raise MCPError(INVALID_PARAMS, f"there is no tool {shown(params.name)}; tools/list names all tools")
        try:
            given = tool.check(params.arguments)
            namespace = given.pop("namespace", None)
            async with (
                access.calling(context.request, tool.name) as store,
                _once(access, context, params, tool) as answer,
            ):
                if not answer.known:
                    place = store if namespace is None else store.use_namespace(namespace)
                    answer.text = text_of(await tool.run(place, given, max_result))
            return _told(answer.text, is_error=answer.is_error)
        except DataStoreError as error:
            return _told(error_text(error), is_error=True)
        except Exception:  # noqa: BLE001 - the package would send its text to the client, and it can be about the host
            logger().exception("the tool %s failed", tool.name)
            return _told(error_text(InternalError("")), is_error=True)

    return Server(
        "agent-datastore",
        version=version("agent-datastore"),
        title="Agent datastore",
        instructions=INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        get_tool_input_schema=lambda name: None,  # no parameter of a tool is to be sent as a header as well
    )


class _Answering:
    """The answer to a call of a tool: to be made, or known from the same call before."""

    def __init__(self, known: Answer | None) -> None:
        self.known = known is not None
        self.text = "" if known is None else known.body.decode()
        self.is_error = known is not None and known.status != _DONE

    def made(self) -> Answer:
        """Return it as it is remembered."""
        return Answer(_FAILED if self.is_error else _DONE, self.text.encode())


@asynccontextmanager
async def _once(access: Access, context: Any, params: CallToolRequestParams, tool: Tool) -> AsyncIterator[_Answering]:
    """Give the answer to a call that has a key and was made before; remember that of a new one, errors included.

    The protocol has no key of its own: the id of a request may come again with every session of the same token, and
    whoever asks again takes a new one. So whoever wants to ask again says so in ``_meta``.
    """
    given = (context.meta or {}).get(KEY)
    answers = getattr(access, "answers", lambda request: None)(context.request)
    if given is None or answers is None or not tool.writes:
        yield _Answering(None)
        return
    key = f"mcp:{checked_key(given, KEY)}"  # apart from those of calls that are no tools
    mark = mark_of(params.name, json.dumps(params.arguments, sort_keys=True).encode())
    answering = _Answering(await answers.before(key, mark, is_repeat=False))
    if answering.known:
        yield answering
        return
    answer: Answer | None = None
    try:
        yield answering
        answer = answering.made()
    except DataStoreError as error:
        answering.text, answering.is_error = error_text(error), True
        answer = answering.made()
        raise
    finally:
        answers.after(key, answer)


def _listed(tool: Tool) -> ListedTool:
    return ListedTool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=tool.schema,
        annotations=ToolAnnotations(
            read_only_hint=not tool.writes,
            destructive_hint=tool.destructive,
            idempotent_hint=tool.idempotent or not tool.writes,
            open_world_hint=False,
        ),
    )


def _told(text: str, *, is_error: bool = False) -> CallToolResult:
    return CallToolResult(content=[TextContent(text=text)], is_error=is_error)


async def serve_stdio(access: Access, *, max_result: int = DEFAULT_SIZE) -> None:
    """Serve one MCP client over standard input and output, until it closes them.

    Args:
        access: Says what the client may do.
        max_result: As `create_mcp_server`.
    """
    server = create_mcp_server(access, max_result=max_result)
    async with stdio_server() as (received, sent):
        await server.run(received, sent, server.create_initialization_options())


class MCPApp:
    """The tools as an ASGI application, for MCP's streamable HTTP; to be mounted in another one.

    Each request stands alone: it is answered with JSON, and no session is kept. The other application has to check
    ``Host``, ``Origin`` and the token before it hands a request on.

    Args:
        access: Says who is asking.
        max_result: As `create_mcp_server`.
        largest_body: The most bytes that the body of a request may have.
    """

    def __init__(
        self, access: Access, *, max_result: int = DEFAULT_SIZE, largest_body: int = 2 * MAX_VALUE_BYTES
    ) -> None:
        self._manager = StreamableHTTPSessionManager(
            create_mcp_server(access, max_result=max_result),
            json_response=True,
            stateless=True,
            max_request_body_size=largest_body,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve as long as the context lasts: to be entered once, in the other application's lifespan."""
        async with self._manager.run():
            yield

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        """Answer a request."""
        await self._manager.handle_request(scope, receive, send)
