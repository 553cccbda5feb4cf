"""Endpoints and keys as people paste them: what is stripped, and what cannot be one.

The texts here quote no value: the key may be where the endpoint belongs.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

_QUOTES = "\"'`\u201c\u201d\u2018\u2019"


class Mistake(NamedTuple):
    """A value that is not what it was passed as.

    Attributes:
        pattern: Finds it.
        description: Completes "The endpoint is".
        remedy: What to do, as sentences.
    """

    pattern: re.Pattern[str]
    description: str
    remedy: str


def _pattern(*starting: str, anywhere: str = "", ignore_case: bool = True) -> re.Pattern[str]:
    # In one group: `re` tries alternatives that begin with ^ at every position.
    at_start = f"^(?:{'|'.join(starting)})" if starting else ""
    text = "|".join(part for part in (at_start, anywhere) if part)
    return re.compile(text, re.IGNORECASE if ignore_case else 0)


_ADDRESS = (
    r"(?:account|azure|company|deployment|domain|endpoint|foundry|host|instance|openai|project"
    r"|resource|server|workspace)"
)
_KEY = r"(?:api[-_ ]?key|credential|key|secret|token)"

# Names of variables, and the code that reads them. Local servers may have a key such as TEST_KEY.
_VARIABLES = (
    r"\$[A-Z][A-Z0-9_]{2,}$|\$[a-z]+(?:_[a-z0-9]+)+$|\$env:|\$\(|%\w+%$",
    r"(?:os\.(?:environ|getenv)|getenv|process\.env)\b|env[:.]\w+$|secrets\.\w+$",
    r"(?!ANY|DUMMY|EMPTY|FAKE|LOCAL|MY|NO|SOME|TEST)"
    r"(?:(?:AZURE|AZUREAI|HF|OPENAI)_|[A-Z][A-Z0-9]*_[A-Z0-9]+_)(?:[A-Z0-9]+_)*"
    r"(?:CREDENTIAL|ENDPOINT|KEY|SECRET|TOKEN|URL)$",
)
_VARIABLE = "the name of an environment variable, not its value"

ENDPOINT_MISTAKES = (
    Mistake(
        _pattern(
            rf"your(?:[-_ .]|{_ADDRESS})|x{{3,}}$|\*|\.{{3}}",
            # A server in a network of containers may be called my-server; behind https, hardly.
            r"https://my[-_]?(?:account|deployment|endpoint|project|resource|workspace)"
            r"(?:[-_]?(?:here|name|url))?/?$",
            anywhere=r"<[^<>]*>|\$\{|\{\{?[\w .-]*\}|%(?:3C|7B)[\w-]*%(?:3E|7D)"
            rf"|(?://|\.|/projects/|/deployments/)your(?:[-_ ]|\.?{_ADDRESS})"
            r"|//(?:\[[a-z][\w -]*\]|x{3,}(?:[.:/]|$)|\*|\.{3}|(?:change|replace)[-_]?me\b"
            r"|(?:enter|insert|paste|placeholder|todo)[-_.]"
            rf"|example[-_]{_ADDRESS}|(?:my[-_])?(?:(?:account|azure|deployment|endpoint|foundry"
            r"|openai|project|resource|workspace)[-_])+name(?:[./:]|$))",
        ),
        "a placeholder copied from an example",
        "Replace it with the endpoint of your deployment, which its page in the Azure portal "
        "shows.",
    ),
    Mistake(
        _pattern(*_VARIABLES, r"(?:https?://)?\$\w", ignore_case=False),
        _VARIABLE,
        "Pass os.environ[...], or leave endpoint out: AZURE_INFERENCE_ENDPOINT is read anyway.",
    ),
    Mistake(
        _pattern(r"(?:export\s+|set\s+|\$env:)?[a-z_]\w*\s*[=:]\s*[\"']?https?://"),
        "a URL with the name of its setting",
        "Pass only the URL, which begins with https://.",
    ),
    Mistake(
        _pattern(r"[\w-]{20,}$", r"[A-Za-z0-9+/]{40,}={0,2}$"),
        "a name or a key, not a URL",
        "Pass the URL of the deployment, such as https://<name>.<region>.models.ai.azure.com, as "
        "endpoint=, and its key as credential=.",
    ),
)

KEY_MISTAKES = (
    Mistake(
        _pattern(
            r"\{\{?[\w .-]*\}\}?$|\[[\w .-]*\]$",
            rf"(?:my|your|the)?[-_ ]*(?:api[-_ ]?key|{_KEY}[-_ ]?here)$",
            rf"your(?:[-_ ]|\w*{_KEY}$)|(?:enter|insert|paste|put|replace)[-_ ].*{_KEY}",
            r"x{3,}$|\.{3,}$|(?:change|replace)[-_ ]?me$|placeholder$",
            anywhere=r"<[^<>]*>|\$\{",
        ),
        "a placeholder copied from an example",
        "Replace it with the credential of your deployment, which its page in the Azure portal "
        "shows.",
    ),
    Mistake(
        _pattern(*_VARIABLES, ignore_case=False),
        _VARIABLE,
        "Pass os.environ[...], or leave credential out: AZURE_INFERENCE_CREDENTIAL is read anyway.",
    ),
    Mistake(
        _pattern(r"@Microsoft\.KeyVault\("),
        "a reference to a secret that was not resolved",
        "Check on the page of the app in the Azure portal that it may read the vault.",
    ),
    Mistake(
        _pattern(r"[\w-]+(?:\.[\w-]+)*\.azure\.(?:com|us|cn)\b", anywhere="://"),
        "a URL, not a key",
        "Pass the URL as endpoint=, and the key of the deployment as credential=.",
    ),
    Mistake(
        _pattern(
            r"[a-z][\w-]*:\s|(?:api-key|authorization|x-api-key|ocp-apim-subscription-key)\s*[:=]",
            r"(?:export\s+|set\s+|\$env:)?(?:[a-z]\w*_\w+|\w*(?:key|token|secret))\s*=\s*[^\s=]",
            r"(?:basic|token|apikey)\s",
        ),
        "a key with the name of its header or variable",
        "Pass only the key, without what comes before it.",
    ),
    Mistake(
        _pattern(anywhere=r"\*\*\*|\.\.\.|[\u2022\u25cf\u2026]", ignore_case=False),
        "a masked key, as pages and logs show it",
        "Copy the key with the button next to it, or pass the SecretStr itself.",
    ),
    Mistake(_pattern(r"\{\s*\""), "JSON, not a key", "Pass only the key in it."),
    Mistake(
        # Base64 may begin with a slash, but not with these folders.
        _pattern(r"(?:~|\.{1,2})/|/(?:etc|home|mnt|opt|root|run|tmp|Users|var)/|[A-Z]:\\"),
        "the path of a file, not a key",
        "Pass the contents of the file.",
    ),
)


def find_mistake(value: str, mistakes: Iterable[Mistake]) -> Mistake | None:
    """The first mistake that a value is, if any."""
    return next((each for each in mistakes if each.pattern.search(value)), None)


def unquote(value: str) -> str:
    """A value without the white space and quotes that were copied with it."""
    return value.strip().strip(_QUOTES).strip()


def clean_key(key: str) -> str:
    """A key without the quotes and the `Bearer` that were copied with it."""
    key = unquote(key)
    prefix, _, rest = key.partition(" ")
    return rest.strip() if prefix.lower() in ("bearer", "bearer:") else key
