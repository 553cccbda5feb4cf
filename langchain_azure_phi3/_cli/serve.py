"""`langchain-azure-phi3 serve`: runs the emulator until Ctrl-C."""

import argparse
import shutil
import socket
import sys
import textwrap
from functools import partial

from langchain_azure_phi3._cli import print_error
from langchain_azure_phi3.emulator import Emulator

# Not every client can connect to the address for "all addresses of this machine".
_LOOPBACK = {"//0.0.0.0:": "//127.0.0.1:", "//[::]:": "//[::1]:"}
_LOCAL_HOSTS = ("127.0.0.1", "::1", "localhost")


def serve(options: argparse.Namespace) -> int:
    """Run the emulator with these options, and print the variables to export."""
    # The deprecated option emits the same warning as the deprecated parameter.
    server_type = {"server_type": options.server_type}
    if hasattr(options, "dialect"):
        server_type = {"dialect": options.dialect}
    try:
        emulator = Emulator(
            options.model,
            deployment=options.deployment,
            context=options.context,
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


def _announce(options: argparse.Namespace, key: str, endpoint: str) -> None:
    answers = "scripted" if options.upstream is None else f"from {options.upstream}"
    name = "" if options.deployment is None else f" as {options.deployment}"
    context = "" if options.context is None else f" with a context of {options.context:,} tokens"
    print(f"Emulating {options.model}{name}{context} (responses are {answers}). Ctrl-C stops it.")
    local = remote = endpoint
    for unspecified, loopback in _LOOPBACK.items():
        local = local.replace(unspecified, loopback, 1)
        remote = remote.replace(unspecified, f"//{socket.gethostname()}:", 1)
    print(f"export AZURE_INFERENCE_ENDPOINT={local}")
    print(f"export AZURE_INFERENCE_CREDENTIAL={key}", flush=True)
    if options.deployment is not None:
        print(f"export AZURE_INFERENCE_MODEL={options.deployment}", flush=True)
    if options.host not in _LOCAL_HOSTS:
        _print_wrapped(
            f"WARNING: {options.host} can be reached from other machines. The emulator is a test "
            "tool and does not encrypt: the key is readable on the network."
        )
        _print_wrapped(
            f"On other machines, use {remote} (or another name of this machine), and pass "
            "allow_insecure_http=True."
        )


def _print_wrapped(text: str) -> None:
    """Print a text in lines that fit the terminal; elsewhere as one line."""
    columns = shutil.get_terminal_size((len(text), 24)).columns
    print(textwrap.fill(text, columns, break_on_hyphens=False), flush=True)
