"""Who may ask: the credential's headers by kind of server, and what a wrong one hears."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from langchain_azure_phi3.emulator import refusals
from langchain_azure_phi3.emulator.server_types import Door
from langchain_azure_phi3.emulator.error_bodies import Refused
from langchain_azure_phi3.emulator.wire import Request


@dataclass(frozen=True, slots=True)
class _Rule:
    """What one door asks for.

    Attributes:
        wrong: The refusal of a wrong credential, and of none where nothing else is said.
        reads_api_key: Whether `api-key` opens it too.
        none: The refusal where there is no credential.
        only_api_key: The refusal where there is but an `api-key` that it does not read.
    """

    wrong: Callable[[], Refused]
    reads_api_key: bool = False
    none: Callable[[], Refused] | None = None
    only_api_key: Callable[[], Refused] | None = None


_RULES: Mapping[Door, _Rule | None] = {
    "serverless": _Rule(
        refusals.wrong_key,
        none=refusals.no_authorization,
        only_api_key=refusals.only_an_api_key,
    ),
    "managed": _Rule(refusals.wrong_key),
    "foundry": _Rule(refusals.wrong_audience, reads_api_key=True),
    "github": _Rule(refusals.bad_credentials),
    "server": _Rule(refusals.unauthorized),
    "open": None,
}


def admit(request: Request, door: Door, key: str) -> None:
    """Let a request in, or not.

    Raises:
        Refused: With the answer that this kind of server gives.
    """
    rule = _RULES[door]
    if rule is None:
        return
    given, api_key = request.headers.get("authorization"), request.headers.get("api-key")
    if given == f"Bearer {key}" or (rule.reads_api_key and api_key == key):
        return
    refusal = rule.wrong
    if given is None:
        refusal = rule.none or rule.wrong
        if api_key is not None:
            refusal = rule.only_api_key or rule.wrong
    raise refusal()
