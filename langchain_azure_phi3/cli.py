"""The command line: `ask`, `chat`, `batch`, `doctor`, `serve` and `models`.

What a command needs is imported when it runs: `--help` and `--version` do not wait for LangChain.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from langchain_azure_phi3._cli import print_error

if TYPE_CHECKING:
    from langchain_azure_phi3._doctor.report import Finding
    from langchain_azure_phi3.models import PhiModel

_ENVIRONMENT = """\
The endpoint and its key come from AZURE_INFERENCE_ENDPOINT and AZURE_INFERENCE_CREDENTIAL
(or AZUREAI_ENDPOINT_URL and AZUREAI_ENDPOINT_KEY), the model from AZURE_INFERENCE_MODEL."""
# A copy, because only `serve` imports the emulator. A test compares it.
_SERVER_TYPES = """\
serverless, managed-2024-05, managed-2024-06, managed-2025-01, managed-2026-07,
foundation-model-serve, foundry, openai-v1, azure-openai, openai-server, vllm, llama.cpp,
ollama"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 0, 1 for a failure, 2 for wrong usage."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except BrokenPipeError:
        # The reader closed the pipe, as `head` does; Python would report it at exit.
        sys.stdout = None
        return 1
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        if error.filename is None:
            raise
        return print_error(f"{error.filename}: {error.strerror}.")
    except Exception as error:
        from langchain_azure_phi3.errors import AzurePhi3Error

        if not isinstance(error, AzurePhi3Error):
            raise
        return print_error(f"{type(error).__name__}: {error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="langchain-azure-phi3", description="Use Microsoft's Phi models from the command line."
    )
    parser.add_argument(
        "--version", action="version", version=f"%(prog)s {version('langchain-azure-phi3')}"
    )
    commands = parser.add_subparsers(required=True, metavar="command")

    _add_ask(commands)
    _add_chat(commands)
    _add_batch(commands)
    _add_doctor(commands)

    _add_serve(commands)

    models = commands.add_parser("models", help="list the Phi models and their limits")
    models.add_argument("--json", action="store_true", help="print all properties, with sources")
    models.set_defaults(run=_list_models)

    _add_completion(commands)
    return parser


def _model_options() -> argparse.ArgumentParser:
    """The options that `ask`, `chat` and `batch` share."""
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument(
        "--endpoint", metavar="URL", help="URL of the endpoint (default: from the environment)"
    )
    options.add_argument("--model", metavar="NAME", help="model name, or deployment name")
    options.add_argument(
        "--temperature", type=float, metavar="NUMBER", help="sampling temperature, 0 to 1"
    )
    options.add_argument(
        "--max-tokens", type=int, metavar="NUMBER", help="the longest answer, in tokens"
    )
    options.add_argument(
        "--entra", action="store_true", help="sign in with Entra ID (DefaultAzureCredential)"
    )
    return options


def _conversation_options() -> argparse.ArgumentParser:
    """The options that `ask` and `chat` share."""
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("--system", metavar="TEXT", help="a system message")
    options.add_argument(
        "--image",
        metavar="PATH",
        action="append",
        default=[],
        help="an image file or URL to send with the question; repeat it for more",
    )
    return options


def _add_ask(commands: Any) -> None:
    ask = commands.add_parser(
        "ask",
        help="ask a deployment and print its answer",
        description="Ask a deployment, and print its answer as it arrives.",
        epilog=_ENVIRONMENT,
        parents=[_model_options(), _conversation_options()],
    )
    ask.add_argument(
        "prompt",
        nargs="?",
        help="the question; text piped to standard input is appended (-: only that)",
    )
    ask.add_argument(
        "--schema", metavar="FILE", help="print a JSON object that fits this JSON schema"
    )
    ask.add_argument(
        "--json", action="store_true", help="print text, usage and metadata of the answer as JSON"
    )
    ask.add_argument(
        "--no-stream", action="store_true", help="print the answer when it is complete"
    )
    ask.add_argument("--usage", action="store_true", help="print token counts to standard error")
    ask.set_defaults(run=_ask)


def _add_chat(commands: Any) -> None:
    chat = commands.add_parser(
        "chat",
        help="have a conversation in the terminal",
        description="Have a conversation in the terminal. Ctrl-C stops an answer, Ctrl-D leaves, "
        "and /help lists the commands.",
        epilog=_ENVIRONMENT,
        parents=[_model_options(), _conversation_options()],
    )
    chat.set_defaults(run=_chat)


def _add_completion(commands: Any) -> None:
    completion = commands.add_parser(
        "completion",
        help="print a completion script for a shell",
        description="Print a completion script. For bash: "
        'eval "$(langchain-azure-phi3 completion bash)"',
    )
    completion.add_argument("shell", choices=("bash", "zsh", "tcsh"))
    completion.set_defaults(run=_print_completion)


def _print_completion(options: argparse.Namespace) -> int:
    try:
        import shtab
    except ModuleNotFoundError:
        return print_error(
            "Completion scripts need shtab: pip install 'langchain-azure-phi3[completion]'."
        )
    print(shtab.complete(_parser(), options.shell))
    return 0


def _ask(options: argparse.Namespace) -> int:
    from langchain_azure_phi3._cli.ask import ask

    return ask(options)


def _chat(options: argparse.Namespace) -> int:
    from langchain_azure_phi3._cli.chat import chat

    return chat(options)


def _add_batch(commands: Any) -> None:
    batch = commands.add_parser(
        "batch",
        help="answer a table of prompts",
        description="Call the model for each row of a table, and write the table with the answers, "
        "errors and token counts. A run that was stopped continues where it was when the same "
        "command runs again. Files are Parquet, CSV or JSON lines, by their suffixes.",
        epilog=f"{_ENVIRONMENT} The exit status is 1 if rows failed in a way that may pass.",
        parents=[_model_options()],
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
    batch.set_defaults(run=_batch)


def _batch(options: argparse.Namespace) -> int:
    try:
        from langchain_azure_phi3._cli.batch import run_batch
    except ImportError as missing:
        return print_error(str(missing))
    return run_batch(options)


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
    serve.add_argument(
        "--constrained-decoding",
        choices=("enforce", "ignore", "reject"),
        help="whether answers comply with schemas in requests (default: as the server type)",
    )
    serve.add_argument("--rpm", type=int, metavar="NUMBER", help="quota: requests per minute")
    serve.add_argument(
        "--tpm",
        type=int,
        metavar="NUMBER",
        help="quota: tokens per minute, counting prompts and max_tokens",
    )
    serve.add_argument("--seed", type=int, default=0, help="random seed of --faults (%(default)s)")
    serve.add_argument("--quiet", action="store_true", help="do not log requests")
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
    from langchain_azure_phi3._cli.options import entra_credential
    from langchain_azure_phi3._doctor.doctor import diagnose

    kwargs = {name: getattr(options, name) for name in ("endpoint", "model", "api", "deployment")}
    kwargs["credential"] = entra_credential() if options.entra else None
    columns = shutil.get_terminal_size().columns

    def print_finding(finding: "Finding") -> None:
        # At once: a slow endpoint takes minutes.
        print(finding.as_text(columns), flush=True)

    on_finding = None if options.json else print_finding
    report = diagnose(kwargs, timeout=options.timeout, on_finding=on_finding)
    print(report.as_json() if options.json else f"\n{report.summary(columns)}")
    return 0 if report.usable else 1


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
            constrained_decoding=options.constrained_decoding,
            requests_per_minute=options.rpm,
            tokens_per_minute=options.tpm,
            faults=options.faults,
            seed=options.seed,
            log=None if options.quiet else partial(print, file=sys.stderr, flush=True),
        )
        announce = partial(_announce, options, emulator.key)
        emulator.serve_forever(options.host, options.port, listening=announce)
    except (ValueError, ModuleNotFoundError) as error:
        return print_error(str(error))
    except OSError as error:
        reason = str(error.strerror).partition(" (")[0]  # Python repeats the address
        return print_error(
            f"Cannot listen on {options.host}, port {options.port}: {reason}. Choose others with "
            "--host and --port."
        )
    return 0


# "All addresses of this machine" is nothing that every client can connect to.
_UNSPECIFIED = {"//0.0.0.0:": "//127.0.0.1:", "//[::]:": "//[::1]:"}


_LOCAL_HOSTS = ("127.0.0.1", "::1", "localhost")


def _announce(options: argparse.Namespace, key: str, endpoint: str) -> None:
    answers = "scripted" if options.upstream is None else f"from {options.upstream}"
    print(f"Emulating {options.model} (answers are {answers}). Press Ctrl-C to stop.")
    for unspecified, loopback in _UNSPECIFIED.items():
        endpoint = endpoint.replace(unspecified, loopback, 1)
    print(f"export AZURE_INFERENCE_ENDPOINT={endpoint}")
    print(f"export AZURE_INFERENCE_CREDENTIAL={key}", flush=True)
    if options.host not in _LOCAL_HOSTS:
        print(
            f"WARNING: {options.host} can be reached from other machines. The emulator is a test "
            "tool and does not encrypt: the key is readable on the network.",
            flush=True,
        )


_HEADINGS = ("MODEL", "CONTEXT", "OUTPUT", "MEDIA", "IMAGES", "SYSTEM", "REASONS", "RETIRED")
_LEGEND = """\
CONTEXT: tokens that prompt and answer share. OUTPUT: the longest answer, in tokens.
MEDIA: accepted besides text. IMAGES: the most per conversation.
SYSTEM: what the model's template does with system messages.
RETIRED: when Azure retired serverless deployments; with "?": the date that one source gives.
"-": none, or unknown."""


def _list_models(options: argparse.Namespace) -> int:
    from langchain_azure_phi3.models import list_models

    rows = list_models()
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


def _cells(row: "PhiModel") -> Iterator[str]:
    yield row.name
    yield f"{row.context:,}"
    yield "-" if row.max_output is None else f"{row.max_output:,}"
    yield ", ".join(row.modalities[1:]) or "-"
    limit = "any" if row.images_per_conversation is None else str(row.images_per_conversation)
    yield limit if "image" in row.modalities else "-"
    yield row.system_message_support
    yield "yes" if row.reasoning else "-"
    yield row.retired or (f"{row.retires}?" if row.retires is not None else "-")


if __name__ == "__main__":
    sys.exit(main())
