"""The command line: ask, check, serve and list models; `batch` answers tables of prompts."""

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
# A copy, because only `serve` imports the emulator. A test compares it.
_SERVER_TYPES = """\
serverless, managed-2024-05, managed-2024-06, managed-2026-07, foundation-model-serve, foundry,
openai-v1, azure-openai, github, openai-server, ollama"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 0, 1 for a failure, 2 for wrong usage."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except AzurePhi3Error as error:
        return _print_error(f"{type(error).__name__}: {error}")
    except BrokenPipeError:
        # The reader closed the pipe, as `head` does; Python would report it at exit.
        sys.stdout = None
        return 1
    except KeyboardInterrupt:
        return 130


def _print_error(text: str) -> int:
    # One line, even if the server's message has several.
    print("langchain-azure-phi3:", " ".join(text.split()), file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="langchain-azure-phi3", description="Use Microsoft's Phi models from the command line."
    )
    parser.add_argument(
        "--version", action="version", version=f"%(prog)s {version('langchain-azure-phi3')}"
    )
    commands = parser.add_subparsers(required=True, metavar="command")

    ask = commands.add_parser(
        "ask", help="ask a deployment and print its answer", epilog=_ENVIRONMENT
    )
    ask.add_argument("prompt", nargs="?", help="the question (default: standard input)")
    ask.add_argument("--system", metavar="TEXT", help="a system message")
    ask.add_argument("--model", metavar="NAME", help="model name, or deployment name on Foundry")
    ask.add_argument(
        "--no-stream", action="store_true", help="print the answer when it is complete"
    )
    ask.add_argument("--usage", action="store_true", help="print token counts to standard error")
    ask.add_argument(
        "--entra", action="store_true", help="sign in with Entra ID (DefaultAzureCredential)"
    )
    ask.set_defaults(run=_ask)

    _add_batch(commands)

    _add_doctor(commands)

    _add_serve(commands)

    models = commands.add_parser("models", help="list the Phi models and their limits")
    models.add_argument("--json", action="store_true", help="print all properties, with sources")
    models.set_defaults(run=_list_models)
    return parser


def _add_batch(commands: Any) -> None:
    batch = commands.add_parser(
        "batch",
        help="answer a table of prompts",
        description="Call the model for each row of a table, and write the table with the answers, "
        "errors and token counts. A run that was stopped continues where it was when the same "
        "command runs again. Files are Parquet, CSV or JSON lines, by their suffixes.",
        epilog=f"{_ENVIRONMENT} The exit status is 1 if rows failed in a way that may pass.",
    )
    batch.add_argument("source", help="file with the prompts: .parquet, .csv or .jsonl")
    batch.add_argument("target", help="file to write, in any of these formats")
    batch.add_argument("--id", metavar="COLUMN", help="column that tells the rows apart")
    batch.add_argument(
        "--prompt-column",
        metavar="COLUMN",
        default="prompt",
        help="column of prompts (%(default)s)",
    )
    batch.add_argument("--schema", metavar="FILE", help="JSON schema that each answer must fit")
    batch.add_argument("--model", metavar="NAME", help="model name, or deployment name on Foundry")
    batch.add_argument("--temperature", type=float, metavar="NUMBER", help="sampling temperature")
    batch.add_argument("--max-tokens", type=int, metavar="N", help="longest answer, in tokens")
    batch.add_argument("--rpm", type=int, metavar="N", help="quota: requests per minute")
    batch.add_argument("--tpm", type=int, metavar="N", help="quota: tokens per minute")
    batch.add_argument(
        "--store",
        metavar="URL",
        default="memory://",
        help="where processes share the quota, such as redis://localhost:6379 (this process)",
    )
    batch.add_argument(
        "--concurrency", type=int, default=16, metavar="N", help="calls at once (%(default)s)"
    )
    batch.add_argument(
        "--row-retries", type=int, default=2, metavar="N", help="calls per failed row (%(default)s)"
    )
    batch.add_argument(
        "--checkpoint", metavar="FOLDER", help="where results are kept (TARGET.checkpoint)"
    )
    batch.add_argument("--no-progress", action="store_true", help="show no progress bar")
    batch.add_argument(
        "--entra", action="store_true", help="sign in with Entra ID (DefaultAzureCredential)"
    )
    batch.set_defaults(run=_batch)


def _batch(options: argparse.Namespace) -> int:
    try:
        from langchain_azure_phi3._batch_command import run_batch

        return run_batch(options, _entra_credential() if options.entra else None)
    except ImportError as missing:
        return _print_error(str(missing))
    except OSError as error:
        path = "" if error.filename is None else f"{error.filename}: "
        return _print_error(f"{path}{error.strerror or error}.")


def _add_serve(commands: Any) -> None:
    serve = commands.add_parser(
        "serve",
        help="run a local emulator of a Phi endpoint",
        description="Run a local server that behaves like Azure's Phi deployments, until Ctrl-C. "
        "Its answers are scripted, unless --upstream names a server with a real model.",
        epilog=f"Server types: {_SERVER_TYPES}.",
    )
    serve.add_argument(
        "--model",
        metavar="NAME",
        default="Phi-3-mini-4k-instruct",
        help="model to emulate (%(default)s); `langchain-azure-phi3 models` lists them",
    )
    serve.add_argument(
        "--server-type",
        metavar="TYPE",
        default="serverless",
        help="server type to emulate (%(default)s)",
    )
    serve.add_argument("--dialect", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    serve.add_argument(
        "--port",
        type=int,
        default=8000,
        help="port to listen on (%(default)s); 0 chooses a free one",
    )
    serve.add_argument("--key", help="key to require (default: a random one)")
    serve.add_argument(
        "--upstream",
        metavar="URL",
        help="forward prompts to a real model: base URL of an OpenAI-compatible server, "
        "such as http://localhost:11434/v1",
    )
    serve.add_argument(
        "--upstream-model", metavar="NAME", help="its name there (default: the first one listed)"
    )
    serve.add_argument(
        "--upstream-key", metavar="KEY", help="key of the upstream server, if it requires one"
    )
    serve.add_argument(
        "--faults",
        metavar="NAME=FRACTION,...",
        type=_parse_faults,
        help="make a fraction of all requests fail, such as 429=0.05,cut=0.02: an HTTP status, or "
        "a way to break the response",
    )
    serve.add_argument("--seed", type=int, default=0, help="random seed of --faults (%(default)s)")
    serve.set_defaults(run=_serve)


def _parse_faults(text: str) -> dict[str, float]:
    pairs = (pair.partition("=") for pair in text.split(","))
    try:
        return {name.strip(): float(fraction) for name, _, fraction in pairs}
    except ValueError as error:
        message = f"invalid faults {text!r}; expected a list like 429=0.05,cut=0.02"
        raise argparse.ArgumentTypeError(message) from error


def _add_doctor(commands: Any) -> None:
    doctor = commands.add_parser(
        "doctor",
        help="check an endpoint and print the constructor call for it",
        description="Check an endpoint step by step, with about a dozen short requests: what it "
        "supports, what the package does about the rest, and the constructor call to use.",
        epilog=f"{_ENVIRONMENT} The key is never printed. ok: available; no: not available, worked "
        "around; FAIL: action needed; -: not checked. The exit status is 0 if the deployment "
        "answers.",
    )
    doctor.add_argument(
        "endpoint", nargs="?", help="URL of the endpoint (default: from the environment)"
    )
    doctor.add_argument("--model", metavar="NAME", help="model name, or deployment name on Foundry")
    doctor.add_argument("--api", metavar="NAME", help="API of the endpoint (default: from its URL)")
    doctor.add_argument("--deployment", metavar="NAME", help="deployment name on managed compute")
    doctor.add_argument(
        "--entra", action="store_true", help="sign in with Entra ID (DefaultAzureCredential)"
    )
    doctor.add_argument(
        "--timeout", type=float, default=60.0, metavar="SECONDS", help="limit for each answer (60)"
    )
    doctor.add_argument("--json", action="store_true", help="print the report as JSON")
    doctor.set_defaults(run=_doctor)


def _doctor(options: argparse.Namespace) -> int:
    from langchain_azure_phi3._doctor.doctor import diagnose

    kwargs = {name: getattr(options, name) for name in ("endpoint", "model", "api", "deployment")}
    kwargs["credential"] = _entra_credential() if options.entra else None
    columns = shutil.get_terminal_size().columns

    def print_finding(finding: Finding) -> None:
        # At once: a slow endpoint takes minutes.
        print(finding.as_text(columns), flush=True)

    on_finding = None if options.json else print_finding
    report = diagnose(kwargs, timeout=options.timeout, on_finding=on_finding)
    print(report.as_json() if options.json else f"\n{report.summary(columns)}")
    return 0 if report.usable else 1


def _ask(options: argparse.Namespace) -> int:
    prompt = options.prompt if options.prompt is not None else sys.stdin.read()
    if not prompt.strip():
        return _print_error("There is no question. Pass it as an argument or on standard input.")
    messages: list[BaseMessage] = [SystemMessage(options.system)] if options.system else []
    messages.append(HumanMessage(prompt))
    model = ChatAzurePhi3(
        model=options.model, credential=_entra_credential() if options.entra else None
    )
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
        print(_format_usage(usage), file=sys.stderr)
    return 0


def _format_usage(usage: Any) -> str:
    if usage is None:
        return "The server reported no token counts."
    return (
        f"{usage['input_tokens']} input + {usage['output_tokens']} output = "
        f"{usage['total_tokens']} tokens"
    )


def _entra_credential() -> object:
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
    except (ValueError, ModuleNotFoundError) as error:
        return _print_error(str(error))
    except OSError as error:
        reason = str(error.strerror).partition(" (")[0]  # Python repeats the address
        return _print_error(
            f"Cannot listen on {options.host}, port {options.port}: {reason}. Choose others with "
            "--host and --port."
        )
    return 0


# "All addresses of this machine" is nothing that every client can connect to.
_UNSPECIFIED = {"//0.0.0.0:": "//127.0.0.1:", "//[::]:": "//[::1]:"}


def _announce(options: argparse.Namespace, key: str, endpoint: str) -> None:
    answers = "scripted" if options.upstream is None else f"from {options.upstream}"
    print(f"Emulating {options.model} (answers are {answers}). Press Ctrl-C to stop.")
    for unspecified, loopback in _UNSPECIFIED.items():
        endpoint = endpoint.replace(unspecified, loopback, 1)
    print(f"export AZURE_INFERENCE_ENDPOINT={endpoint}")
    print(f"export AZURE_INFERENCE_CREDENTIAL={key}", flush=True)


_HEADINGS = ("MODEL", "CONTEXT", "OUTPUT", "MEDIA", "IMAGES", "SYSTEM", "REASONS", "RETIRED")
_LEGEND = """\
CONTEXT: tokens that prompt and answer share. OUTPUT: the longest answer, in tokens.
MEDIA: accepted besides text. IMAGES: the most per conversation.
SYSTEM: what the model's template does with system messages.
RETIRED: when Azure retired serverless deployments. "-": none, or unknown."""


def _list_models(options: argparse.Namespace) -> int:
    rows = models.list_models()
    if options.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
        return 0
    table = [_HEADINGS, *(tuple(_cells(row)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for cells in table:
        numbers = (cell.rjust(width) for cell, width in zip(cells[1:3], widths[1:3], strict=True))
        texts = (cell.ljust(width) for cell, width in zip(cells[3:], widths[3:], strict=True))
        print("  ".join((cells[0].ljust(widths[0]), *numbers, *texts)).rstrip())
    print(f"\n{_LEGEND}")
    return 0


def _cells(row: PhiModel) -> Iterator[str]:
    yield row.name
    yield f"{row.context:,}"
    yield "-" if row.max_output is None else f"{row.max_output:,}"
    yield ", ".join(row.modalities[1:]) or "-"
    limit = "any" if row.images_per_conversation is None else str(row.images_per_conversation)
    yield limit if "image" in row.modalities else "-"
    yield row.system_message_support
    yield "yes" if row.reasoning else "-"
    yield row.retired or "-"


if __name__ == "__main__":
    sys.exit(main())
