"""`langchain-azure-phi3 ask`: sends one prompt."""

import argparse
import json
import os
import stat
import sys
from typing import Any

from langchain_core.messages import BaseMessage, SystemMessage

from langchain_azure_phi3._cli import print_error
from langchain_azure_phi3._cli.options import format_usage, make_model, read_schema, user_message
from langchain_azure_phi3._types import Json
from langchain_azure_phi3.chat_models import ChatAzurePhi3


def ask(options: argparse.Namespace) -> int:
    """Print the response as it arrives, or as JSON with `--schema` and `--json`."""
    prompt = _prompt(options.prompt)
    if not prompt.strip():
        return print_error("There is no question. Pass it as an argument or on standard input.")
    schema = None if options.schema is None else read_schema(options.schema)
    messages: list[BaseMessage] = [SystemMessage(options.system)] if options.system else []
    messages.append(user_message(prompt, options.image))
    model = make_model(options)
    if schema is not None:
        usage = _print_object(model, schema, messages)
    elif options.json or options.no_stream:
        usage = _print_complete(model, messages, as_json=options.json)
    else:
        usage = _print_stream(model, messages)
    if options.usage:
        print(format_usage(usage), file=sys.stderr)
    return 0


def _prompt(argument: str | None) -> str:
    """Return the argument, followed by standard input if that is a pipe or a file."""
    if argument in (None, "-"):
        if sys.stdin.isatty():
            print("Type a question, then press Ctrl-D.", file=sys.stderr)
        return sys.stdin.read()
    piped = _piped_text()
    return f"{argument}\n\n{piped}" if piped.strip() else str(argument)


def _piped_text() -> str:
    # Not a terminal, /dev/null, or a service's socket, which may never end.
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (AttributeError, OSError, ValueError):  # no standard input
        return ""
    return sys.stdin.read() if stat.S_ISFIFO(mode) or stat.S_ISREG(mode) else ""


def _print_object(model: ChatAzurePhi3, schema: Json, messages: list[BaseMessage]) -> Any:
    answer: Any = model.with_structured_output(schema, include_raw=True).invoke(messages)
    if answer["parsing_error"] is not None:
        raise answer["parsing_error"]
    print(json.dumps(answer["parsed"], indent=2, ensure_ascii=False))
    return answer["raw"].usage_metadata


def _print_complete(model: ChatAzurePhi3, messages: list[BaseMessage], *, as_json: bool) -> Any:
    answer = model.invoke(messages)
    if as_json:
        fields = {
            "text": answer.text,
            "usage": answer.usage_metadata,
            "response_metadata": answer.response_metadata,
        }
        print(json.dumps(fields, indent=2, ensure_ascii=False, default=str))
    else:
        print(answer.text)
    return answer.usage_metadata


def _print_stream(model: ChatAzurePhi3, messages: list[BaseMessage]) -> Any:
    usage = None
    for chunk in model.stream(messages):
        print(chunk.text, end="", flush=True)
        usage = chunk.usage_metadata or usage
    print()
    return usage
