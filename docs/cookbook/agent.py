"""An agent that remembers, and asks a person before it acts.

`refund` stops the graph with LangGraph's `interrupt` and goes on with what a person decided; the
checkpointer keeps the conversation meanwhile, here in memory, in production in a database.

```bash
pip install "langchain-azure-phi3[emulator]" langchain
python docs/cookbook/agent.py        # asks you on the terminal
python docs/cookbook/agent.py yes    # answers for you
```

The tools are described in the prompt, because Phi deployments refuse them on the wire. The
stand-in calls the tools that the words of a question name; a model decides by their meaning.
"""

import sys
from typing import Any

from deployment import deployment
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt

ORDERS = {"A17": 49.9, "B42": 1200.0}


@tool
def look_up_order(order: str) -> str:
    """Look up an order and its price."""
    price = ORDERS.get(order)
    return f"Order {order} cost {price} EUR." if price is not None else f"There is no {order}."


@tool
def refund(order: str) -> str:
    """Refund an order. A person must approve it."""
    # The tool runs again from its first line when the graph goes on: nothing may come before this.
    decision = interrupt(f"Refund order {order} ({ORDERS.get(order)} EUR)?")
    return f"Order {order} is refunded." if decision == "yes" else f"A person said: {decision}."


def said(state: dict[str, Any], start: int) -> None:
    """Print the messages from `start` on."""
    for message in state["messages"][start:]:
        for call in getattr(message, "tool_calls", []):
            print(f"  {message.type:5} calls {call['name']}({call['args']})")
        if message.text:
            print(f"  {message.type:5} {message.text}")


def decided(question: str) -> str:
    """What a person decides: the program's argument, else what is typed."""
    if len(sys.argv) > 1:
        print(f"  ----- {question} {sys.argv[1]}")
        return sys.argv[1]
    return input(f"  ----- {question} [yes/no] ").strip()


def main() -> None:
    """Two questions in one conversation; the second needs approval."""
    with deployment() as model:
        agent = create_agent(model, [look_up_order, refund], checkpointer=InMemorySaver())
        thread: Any = {"configurable": {"thread_id": "customer-1"}}
        seen = 0
        for question in ("Use look_up_order for order: 'A17'.", "Now refund order: 'A17'."):
            state = agent.invoke({"messages": [HumanMessage(question)]}, thread)
            while "__interrupt__" in state:
                said(state, seen)
                seen = len(state["messages"])
                answer = decided(state["__interrupt__"][0].value)
                state = agent.invoke(Command(resume=answer), thread)
            said(state, seen)
            seen = len(state["messages"])
        print(f"\nThe thread remembers {seen} messages.")


if __name__ == "__main__":
    main()
