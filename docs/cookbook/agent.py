"""Agent with memory and human approval.

The `refund` tool stops the graph with LangGraph's `interrupt`, and resumes with a person's
decision. Meanwhile the checkpointer keeps the conversation: in memory here, in a database in
production.

```bash
pip install "langchain-azure-phi3[emulator]" langchain
python agent.py        # asks for your decision in the terminal
python agent.py yes    # approves without asking
```

The tools are described in the prompt, because Phi deployments reject native tools. The emulator's
responses are scripted in this file; with a real deployment, the model decides which tool to call.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt

from langchain_azure_phi3 import ChatAzurePhi3
from langchain_azure_phi3.emulator import Emulator

ORDERS = {"A17": 49.9, "B42": 1200.0}
REQUESTS = ("How much did order A17 cost?", "Please refund it.")
RESPONSES = (
    '{"name": "look_up_order", "arguments": {"order": "A17"}}',
    "Order A17 cost 49.90 EUR.",
    '{"name": "refund", "arguments": {"order": "A17"}}',
    "I have processed your request.",
)


@tool
def look_up_order(order: str) -> str:
    """Look up an order and its price."""
    price = ORDERS.get(order)
    return f"Order {order} cost {price} EUR." if price is not None else f"There is no {order}."


@tool
def refund(order: str) -> str:
    """Refund an order. A person must approve it."""
    # When the graph resumes, the tool starts again at its first line, so nothing may happen
    # before the interrupt.
    decision = interrupt(f"Refund order {order} ({ORDERS.get(order)} EUR)?")
    return f"Order {order} is refunded." if decision == "yes" else f"A person decided: {decision}."


def print_messages(state: dict[str, Any], start: int) -> None:
    """Print the messages from index `start` on."""
    for message in state["messages"][start:]:
        for call in getattr(message, "tool_calls", []):
            print(f"  {message.type:5} calls {call['name']}({call['args']})")
        if message.text:
            print(f"  {message.type:5} {message.text}")


def get_decision(question: str) -> str:
    """Return the program's argument, or else what the user types."""
    if len(sys.argv) > 1:
        print(f"  ----- {question} {sys.argv[1]}")
        return sys.argv[1]
    return input(f"  ----- {question} [yes/no] ").strip()


@contextmanager
def open_model(responses: tuple[str, ...]) -> Iterator[ChatAzurePhi3]:
    """Open your deployment, or else an emulator, which returns scripted responses."""
    if os.environ.get("AZURE_INFERENCE_ENDPOINT"):
        yield ChatAzurePhi3(temperature=0)
        return
    print("AZURE_INFERENCE_ENDPOINT is not set: using an emulator of Phi-3-mini-4k-instruct.\n")
    with Emulator("Phi-3-mini-4k-instruct") as phi:
        phi.script(*responses)
        yield ChatAzurePhi3(
            endpoint=phi.endpoint, credential=phi.key, model=phi.model, temperature=0
        )


def main() -> None:
    """Send two requests in one conversation; the second one needs approval."""
    with open_model(RESPONSES) as model:
        agent = create_agent(model, [look_up_order, refund], checkpointer=InMemorySaver())
        thread: Any = {"configurable": {"thread_id": "customer-1"}}
        printed = 0
        for request in REQUESTS:
            state = agent.invoke({"messages": [HumanMessage(request)]}, thread)
            while "__interrupt__" in state:
                print_messages(state, printed)
                printed = len(state["messages"])
                decision = get_decision(state["__interrupt__"][0].value)
                state = agent.invoke(Command(resume=decision), thread)
            print_messages(state, printed)
            printed = len(state["messages"])
        print(f"\nThe thread has {printed} messages.")


if __name__ == "__main__":
    main()
