"""The command line: `ask`, `chat`, `batch`, `doctor`, `serve` and `models`.

Each command imports what it needs when it runs: `--help` and `--version` do not wait for LangChain.
"""

import argparse
import shutil
import sys
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from langchain_azure_phi3._cli import print_error, print_warning

if TYPE_CHECKING:
    from langchain_azure_phi3._doctor.report import Finding

_ENVIRONMENT = """\
The endpoint and its key come from AZURE_INFERENCE_ENDPOINT and AZURE_INFERENCE_CREDENTIAL
(or AZUREAI_ENDPOINT_URL and AZUREAI_ENDPOINT_KEY), the model from AZURE_INFERENCE_MODEL."""
# A copy, because only `serve` imports the emulator. A test compares it.
_SERVER_TYPES = (
    *("serverless", "managed-2024-05", "managed-2024-06", "managed-2025-01", "managed-2026-07"),
    *("foundation-model-serve", "foundry", "openai-v1", "azure-openai", "openai-server", "vllm"),
    *("llama.cpp", "ollama"),
)
# What shtab calls FILE: how each shell completes the names of files.
_FILES = {"bash": "_shtab_compgen_files", "zsh": "_files", "tcsh": "f"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 0, 1 for a failure, 2 for wrong usage."""
    options = _parser().parse_args(arguments)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = print_warning
            return int(options.run(options))
    except BrokenPipeError:
        # The reader closed the pipe, as `head` does; Python would report it at exit.
        sys.stdout = None
        return 1
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        if error.filename is not None:
            return print_error(f"{error.filename}: {error.strerror}.")
        if error.errno is None or error.strerror is not None:
            raise
        return print_error(str(error))  # of an image or a tokenizer
    except Exception as error:
        from langchain_core.exceptions import OutputParserException

        from langchain_azure_phi3.errors import AzurePhi3Error

        # OutputParserException: no answer fits the schema of `ask --schema`.
        if not isinstance(error, AzurePhi3Error | OutputParserException):
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


def _deployment_options() -> argparse.ArgumentParser:
    """The options of all commands that call a deployment."""
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("--model", metavar="NAME", help="model name, or deployment name")
    options.add_argument(
        "--base-model",
        metavar="NAME",
        help="Phi model behind a deployment with a custom name",
    )
    options.add_argument(
        "--api", metavar="NAME", help="API of the endpoint (default: inferred from its URL)"
    )
    options.add_argument("--deployment", metavar="NAME", help="deployment name on managed compute")
    options.add_argument(
        "--entra", action="store_true", help="sign in with Entra ID (DefaultAzureCredential)"
    )
    options.add_argument(
        "--allow-insecure-http",
        action="store_true",
        help="send the key unencrypted to a plain http URL on another machine",
    )
    return options


def _model_options() -> argparse.ArgumentParser:
    """The options that `ask`, `chat` and `batch` share."""
    options = argparse.ArgumentParser(add_help=False, parents=[_deployment_options()])
    options.add_argument(
        "--endpoint", metavar="URL", help="URL of the endpoint (default: from the environment)"
    )
    options.add_argument(
        "--temperature", type=float, metavar="NUMBER", help="sampling temperature, 0 to 1"
    )
    options.add_argument(
        "--max-tokens", type=int, metavar="NUMBER", help="maximum length of the answer, in tokens"
    )
    return options


def _conversation_options() -> argparse.ArgumentParser:
    """The other options that `ask` and `chat` share."""
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("--system", metavar="TEXT", help="a system message")
    image = options.add_argument(
        "--image",
        metavar="PATH",
        action="append",
        default=[],
        help="image file or URL to send with the question; repeat for more images",
    )
    _complete_files(image)
    return options


def _complete_files(argument: argparse.Action) -> None:
    argument.complete = _FILES  # type: ignore[attr-defined]  # read by shtab


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
        help="the question; text piped to standard input is appended (-: read only standard input)",
    )
    schema = ask.add_argument(
        "--schema", metavar="FILE", help="print a JSON object that fits this JSON schema"
    )
    _complete_files(schema)
    ask.add_argument(
        "--json", action="store_true", help="print text, usage and metadata of the answer as JSON"
    )
    ask.add_argument(
        "--no-stream", action="store_true", help="print the answer only when it is complete"
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
        epilog=f"{_ENVIRONMENT} The exit status is 1 if rows failed with a temporary error.",
        parents=[_model_options()],
    )
    batch.add_argument("source", help="file with the prompts: .parquet, .csv or .jsonl")
    batch.add_argument("target", help="output file, in any of these formats")
    batch.add_argument("--id", metavar="COLUMN", help="column that identifies the rows")
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
        help="store for a shared quota, such as redis://localhost:6379 (default: this process)",
    )
    batch.add_argument(
        "--concurrency", type=int, default=16, metavar="N", help="concurrent calls (%(default)s)"
    )
    batch.add_argument(
        "--row-retries", type=int, default=2, metavar="N", help="calls per failed row (%(default)s)"
    )
    batch.add_argument(
        "--checkpoint", metavar="FOLDER", help="folder for intermediate results (TARGET.checkpoint)"
    )
    batch.add_argument("--no-progress", action="store_true", help="do not show a progress bar")
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
        "Its responses are scripted, unless --upstream names a server with a real model.",
        epilog=f"Server types: {', '.join(_SERVER_TYPES)}.",
    )
    serve.add_argument(
        "--model",
        metavar="NAME",
        default="Phi-3-mini-4k-instruct",
        help="model to emulate (%(default)s); `langchain-azure-phi3 models` lists them",
    )
    serve.add_argument(
        "--deployment",
        metavar="NAME",
        help="name of the deployment, in requests and lists of models (default: the model's name)",
    )
    serve.add_argument(
        "--context",
        type=int,
        metavar="TOKENS",
        help="context size of the server, if smaller than the model's",
    )
    serve.add_argument(
        "--server-type",
        metavar="TYPE",
        choices=_SERVER_TYPES,
        default="serverless",
        help="server type to emulate (%(default)s)",
    )
    serve.add_argument("--dialect", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    serve.add_argument(
        "--port",
        type=_parse_port,
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
        "--upstream-model",
        metavar="NAME",
        help="model's name on the upstream server (default: the first one listed)",
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
        help="whether answers comply with schemas in requests (default: as on the server type)",
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


def _parse_port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 65535")
    return int(text)


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
        parents=[_deployment_options()],
    )
    doctor.add_argument(
        "endpoint", nargs="?", help="URL of the endpoint (default: from the environment)"
    )
    doctor.add_argument(
        "--timeout", type=float, default=60.0, metavar="SECONDS", help="limit for each answer (60)"
    )
    doctor.add_argument("--json", action="store_true", help="print the report as JSON")
    doctor.set_defaults(run=_doctor)


def _doctor(options: argparse.Namespace) -> int:
    from langchain_azure_phi3._cli.options import deployment_arguments
    from langchain_azure_phi3._doctor.doctor import diagnose

    columns = shutil.get_terminal_size().columns

    def print_finding(finding: "Finding") -> None:
        # Immediately: a slow endpoint takes minutes.
        print(finding.as_text(columns), flush=True)

    on_finding = None if options.json else print_finding
    arguments = deployment_arguments(options)
    report = diagnose(arguments, timeout=options.timeout, on_finding=on_finding)
    print(report.as_json() if options.json else f"\n{report.summary(columns)}")
    return 0 if report.usable else 1


def _serve(options: argparse.Namespace) -> int:
    from langchain_azure_phi3._cli.serve import serve

    return serve(options)


def _list_models(options: argparse.Namespace) -> int:
    from langchain_azure_phi3._cli.models import print_models

    return print_models(as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
