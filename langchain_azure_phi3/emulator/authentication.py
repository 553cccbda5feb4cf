"""Authentication: which headers each type of server reads, and its error for a wrong key."""

from collections.abc import Mapping

from langchain_azure_phi3.emulator.error_bodies import fixed_error
from langchain_azure_phi3.emulator.server_types import AuthMode
from langchain_azure_phi3.emulator.wire import Request

# The errors for a wrong credential, for a missing one, and for an `api-key` that is not accepted.
_ERRORS: Mapping[AuthMode, tuple[str, str, str]] = {
    "serverless": ("wrong_key", "missing_authorization", "only_api_key"),
    "managed": ("wrong_key", "wrong_key", "wrong_key"),
    "foundry": ("wrong_audience", "wrong_audience", "wrong_audience"),
    "server": ("unauthorized", "unauthorized", "unauthorized"),
}


def authenticate(request: Request, mode: AuthMode, key: str) -> None:
    """Raise an `ApiError` if the credential of a request is missing or wrong."""
    authorization = request.headers.get("authorization")
    api_key = request.headers.get("api-key")
    accepts_api_key = mode == "foundry"
    if mode == "open" or authorization == f"Bearer {key}" or (accepts_api_key and api_key == key):
        return
    wrong, missing, only_api_key = _ERRORS[mode]
    if authorization is not None:
        raise fixed_error(wrong)
    raise fixed_error(missing if api_key is None else only_api_key)
