"""The command line: `ask` a deployment, examine it (`doctor`), `serve` one, list the `models`."""

import argparse
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from typing import Any

from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage

from langchain_azure_phi3 import models
from langchain_azure_phi3._doctor.report import Finding
from langchain_azure_phi3.chat_models import ChatAzurePhi3
from langchain_azure_phi3.errors import AzurePhi3Error
from langchain_azure_phi3.models import PhiModel

_ENVIRONMENT = """\
The endpoint and its key come from AZURE_INFERENCE_ENDPOINT and AZURE_INFERENCE_CREDENTIAL
(or AZUREAI_ENDPOINT_URL and AZUREAI_ENDPOINT_KEY)."""
# A literal, because the emulator is imported only when it serves.
_SERVER_TYPES = """\
serverless, managed-2024-05, managed-2024-06, managed-2026-07, foundation-model-serve, foundry,
openai-v1, azure-openai, github, openai-server, ollama"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status: 0, 1 for a failure, 2 for wrong usage."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except AzurePhi3Error as error:
        return _failed(f"{type(error).__name__}: {error}")
    except BrokenPipeError:
        # The reader left, as `head` does; Python must not complain about it at exit.
        sys.stdout = None
        return 1
    except KeyboardInterrupt:
        return 130


def _failed(text: str) -> int:
    # One line, whatever the server put into its message.
    print("langchain-azure-phi3:", " ".join(text.split()), file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="langchain-azure-phi3", description="Microsoft's Phi models from the command line."
    )
    parser.add_argument(
        "--version", action="version", version=f"%(prog)s {version('langchain-azure-phi3')}"
    )
    commands = parser.add_subparsers(required=True, metavar="command")

    ask = commands.add_parser(
        "ask", help="ask a deployment and print its answer", epilog=_ENVIRONMENT
    )
    ask.add_argument("prompt", nargs="?", help="the question; read from standard input if absent")
    ask.add_argument("--system", metavar="TEXT", help="a system message before the question")
    ask.add_argument("--model", metavar="NAME", help="the model, or the deployment on Foundry")
    ask.add_argument("--no-stream", action="store_true", help="print the answer when it is whole")
    ask.add_argument("--usage", action="store_true", help="print the token counts to stderr")
    ask.add_argument(
        "--entra", action="store_true", help="sign in with Entra ID (DefaultAzureCredential)"
    )
    ask.set_defaults(run=_ask)

    _add_doctor(commands)

    _add_serve(commands)

    models = commands.add_parser("models", help="list what is known of each Phi")
    models.add_argument("--json", action="store_true", help="every fact, with its source")
    models.set_defaults(run=_models)
    return parser


def _add_serve(commands: Any) -> None:
    serve = commands.add_parser(
        "serve",
        help="serve the local emulator of Azure's Phi endpoints",
        description="Serve an emulated Phi endpoint until Ctrl-C. Answers are canned unless "
        "--upstream names a server with a real model.",
        epilog=f"Server types: {_SERVER_TYPES}.",
    )
    serve.add_argument(
        "--model",
        metavar="NAME",
        default="Phi-3-mini-4k-instruct",
        help="the model to emulate (%(default)s); `langchain-azure-phi3 models` lists them",
    )
    serve.add_argument(
        "--server-type",
        metavar="TYPE",
        default="serverless",
        help="the type of server to emulate (%(default)s)",
    )
    serve.add_argument("--dialect", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    serve.add_argument("--host", default="127.0.0.1", help="the address to listen on (%(default)s)")
    serve.add_argument(
        "--port", type=int, default=8000, help="the port (%(default)s); 0 takes any free one"
    )
    serve.add_argument("--key", help="the valid key; random if absent")
    serve.add_argument(
        "--upstream",
        metavar="URL",
        help="forward prompts to a real model: the base URL of an OpenAI-compatible server, "
        "such as http://localhost:11434/v1",
    )
    serve.add_argument(
        "--upstream-model", metavar="NAME", help="its name there; the first listed if absent"
    )
    serve.add_argument(
        "--upstream-key", metavar="KEY", help="that server's key, if it requires one"
    )
    serve.add_argument(
        "--faults",
        metavar="NAME=RATE,...",
        type=_parse_rates,
        help="make a fraction of all requests fail, such as 429=0.05,cut=0.02: statuses or names "
        "of faults",
    )
    serve.add_argument("--seed", type=int, default=0, help="chooses the requests that fail (0)")
    serve.set_defaults(run=_serve)


def _parse_rates(text: str) -> dict[str, float]:
    pairs = (pair.partition("=") for pair in text.split(","))
    try:
        return {name.strip(): float(rate) for name, _, rate in pairs}
    except ValueError as problem:
        raise argparse.ArgumentTypeError(f"{text!r}: write 429=0.05,cut=0.02") from problem


def _add_doctor(commands: Any) -> None:
    doctor = commands.add_parser(
        "doctor",
        help="examine an endpoint and print the constructor call that fits it",
        description="Examine an endpoint step by step, with a dozen short questions: what is "
        "there, what the package does about what is not, and the constructor call to use.",
        epilog=f"{_ENVIRONMENT} The key is never printed. It prints ok for what is there, no for "
        "what is not and the package gets along without, FAIL for what needs you, - for what was "
        "not looked at. The exit status is 0 when the deployment answers.",
    )
    doctor.add_argument("endpoint", nargs="?", help="its URL; from the environment if absent")
    doctor.add_argument("--model", metavar="NAME", help="the model, or the deployment on Foundry")
    doctor.add_argument("--api", metavar="KIND", help="how it speaks; from its URL if absent")
    doctor.add_argument("--deployment", metavar="NAME", help="one of several on managed compute")
    doctor.add_argument(
        "--entra", action="store_true", help="sign in with Entra ID (DefaultAzureCredential)"
    )
    doctor.add_argument(
        "--timeout", type=float, default=60.0, metavar="SECONDS", help="for each answer (60)"
    )
    doctor.add_argument("--json", action="store_true", help="print JSON, for programs")
    doctor.set_defaults(run=_doctor)


def _doctor(options: argparse.Namespace) -> int:
    from langchain_azure_phi3._doctor.doctor import examine

    given = {name: getattr(options, name) for name in ("endpoint", "model", "api", "deployment")}
    given["credential"] = _entra() if options.entra else None
    columns = shutil.get_terminal_size().columns

    def tell(finding: Finding) -> None:
        # At once: an endpoint that is slow takes minutes.
        print(finding.as_text(columns), flush=True)

    report = examine(given, timeout=options.timeout, each=None if options.json else tell)
    print(report.as_json() if options.json else f"\n{report.verdict(columns)}")
    return 0 if report.usable else 1


def _ask(options: argparse.Namespace) -> int:
    prompt = options.prompt if options.prompt is not None else sys.stdin.read()
    if not prompt.strip():
        return _failed("There is no question: give it as an argument or on standard input.")
    messages: list[BaseMessage] = [SystemMessage(options.system)] if options.system else []
    messages.append(HumanMessage(prompt))
    model = ChatAzurePhi3(model=options.model, credential=_entra() if options.entra else None)
    usage: Any = None
    if options.no_stream:
        answer = model.invoke(messages)
        print(answer.text)
        usage = answer.usage_metadata
    else:
        for chunk in model.stream(messages):
            print(chunk.text, end="", flush=True)
            usage = chunk.usage_metadata or usage
        print()
    if options.usage:
        print(_counts(usage), file=sys.stderr)
    return 0


def _counts(usage: Any) -> str:
    if usage is None:
        return "The server gave no token counts."
    return (
        f"{usage['input_tokens']} tokens in, {usage['output_tokens']} out, "
        f"{usage['total_tokens']} in all"
    )


def _entra() -> object:
    from azure.identity import DefaultAzureCredential

    return DefaultAzureCredential()


def _serve(options: argparse.Namespace) -> int:
    from langchain_azure_phi3.emulator import Emulator

    # The deprecated option warns as the deprecated parameter does.
    server_type = {"server_type": options.server_type}
    if hasattr(options, "dialect"):
        server_type = {"dialect": options.dialect}
    try:
        emulator = Emulator(
            options.model,
            key=options.key,
            **server_type,
            upstream=options.upstream,
            upstream_model=options.upstream_model,
            upstream_key=options.upstream_key,
            faults=options.faults,
            seed=options.seed,
        )
        announce = partial(_announce, options, emulator.key)
        emulator.serve_forever(options.host, options.port, listening=announce)
    except (ValueError, ModuleNotFoundError) as problem:
        return _failed(str(problem))
    except OSError as problem:
        where = f"{options.host}, port {options.port}"
        reason = str(problem.strerror).partition(" (")[0]  # Python repeats the address
        return _failed(f"Cannot listen on {where} (choose with --host, --port): {reason}")
    return 0


def _announce(options: argparse.Namespace, key: str, endpoint: str) -> None:
    source = "canned answers" if options.upstream is None else options.upstream
    print(f"Emulating {options.model} with {source}. Press Ctrl-C to stop.")
    print(f"export AZURE_INFERENCE_ENDPOINT={endpoint}")
    print(f"export AZURE_INFERENCE_CREDENTIAL={key}", flush=True)


_HEADINGS = ("MODEL", "CONTEXT", "ANSWER", "ALSO TAKES", "IMAGES", "SYSTEM", "THINKS", "RETIRED")
_KEY = """\
CONTEXT: tokens that prompt and answer share. ANSWER: the longest answer, in tokens.
IMAGES: how many a conversation may hold. SYSTEM: what the model's template makes of system
messages. RETIRED: the day on which Azure ended serverless deployments. "-": none, or not known."""


def _models(options: argparse.Namespace) -> int:
    rows = models.list_models()
    if options.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
        return 0
    table = [_HEADINGS, *(tuple(_cells(row)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for cells in table:
        numbers = (cell.rjust(width) for cell, width in zip(cells[1:3], widths[1:3], strict=True))
        words = (cell.ljust(width) for cell, width in zip(cells[3:], widths[3:], strict=True))
        print("  ".join((cells[0].ljust(widths[0]), *numbers, *words)).rstrip())
    print(f"\n{_KEY}")
    return 0


def _cells(row: PhiModel) -> Iterator[str]:
    yield row.name
    yield f"{row.context:,}"
    yield "-" if row.max_output is None else f"{row.max_output:,}"
    yield ", ".join(row.modalities[1:]) or "-"
    limit = "several" if row.images_a_conversation is None else str(row.images_a_conversation)
    yield limit if "image" in row.modalities else "-"
    yield row.system_messages
    yield "yes" if row.reasoning else "-"
    yield row.retired or "-"


if __name__ == "__main__":
    sys.exit(main())
