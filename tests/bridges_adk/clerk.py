"""A clerk who takes orders: an agent with a tool and a scripted model, run in a process for each thing that is said.

python -m tests.bridges_adk.clerk sqlite:///agents.db "I want tea"
"""

import asyncio
import json
import sys

from google.adk.agents import LlmAgent
from google.adk.models import BaseLlm, LlmResponse
from google.adk.runners import Runner
from google.adk.tools import ToolContext
from google.genai import types

import datastore
from datastore.bridges.google_adk_artifacts import DataStoreArtifactService
from datastore.bridges.google_adk_memory import DataStoreMemoryService
from datastore.bridges.google_adk_sessions import DataStoreSessionService


class Scripted(BaseLlm):
    """Asks the tool for what the user wants, and then says how many contents it was given."""

    async def generate_content_async(self, llm_request, stream=False):
        part = llm_request.contents[-1].parts[-1]
        if part.text is not None:
            call = types.FunctionCall(name="order", args={"item": part.text.rpartition(" ")[2]})
            answer = types.Part(function_call=call)
        else:
            answer = types.Part(
                text=f"{part.function_response.response['ordered']}, {len(llm_request.contents)} contents"
            )
        yield LlmResponse(content=types.Content(role="model", parts=[answer]))


async def order(item: str, tool_context: ToolContext) -> dict[str, list[str]]:
    """Order something."""
    state = tool_context.state
    state["ordered"] = [*state.get("ordered", []), item]
    await tool_context.save_artifact("order.txt", types.Part(text=item))
    remembered = await tool_context.search_memory(item)
    state["known"] = len(remembered.memories)
    state["user:favourite"], state["app:sold"], state["temp:scratch"] = item, state.get("app:sold", 0) + 1, "x"
    return {"ordered": state["ordered"]}


async def ask(data_store, text: str, session_id: str = "counter") -> str:
    agent = LlmAgent(name="clerk", model=Scripted(model="scripted"), tools=[order])
    sessions, memory = DataStoreSessionService(data_store), DataStoreMemoryService(data_store)
    files = DataStoreArtifactService(data_store)
    services = {"session_service": sessions, "memory_service": memory, "artifact_service": files}
    runner = Runner(app_name="shop", agent=agent, auto_create_session=True, **services)
    message = types.Content(role="user", parts=[types.Part(text=text)])
    run = runner.run_async(user_id="ann", session_id=session_id, new_message=message)
    said = [event.content.parts[0].text async for event in run if event.is_final_response()]
    found = await sessions.get_session(app_name="shop", user_id="ann", session_id=session_id)
    await memory.add_session_to_memory(found)
    versions = await files.list_versions(app_name="shop", user_id="ann", session_id=session_id, filename="order.txt")
    return json.dumps({"said": said, "state": found.state, "events": len(found.events), "versions": versions})


if __name__ == "__main__":
    with datastore.connect(sys.argv[1]) as store:
        print(asyncio.run(ask(store.agent("ann", "clerk"), sys.argv[2])))
