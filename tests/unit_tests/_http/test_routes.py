"""Endpoints as users paste them, and the URLs that are asked."""

import pytest

from langchain_azure_phi3 import InvalidInputError
from langchain_azure_phi3._http import routes
from langchain_azure_phi3._http.routes import route_for

V = "?api-version=2024-05-01-preview"
SERVERLESS = "https://phi.eastus2.models.ai.azure.com"
OLDER = "https://phi.eastus2.inference.ai.azure.com"
MANAGED = "https://phi.eastus2.inference.ml.azure.com"
FOUNDRY = "https://res.services.ai.azure.com"
AOAI = "https://res.openai.azure.com"
LOCAL = "http://127.0.0.1:8000"

# pasted, kind, base, what follows the base in the chat URL
PASTED = [
    (SERVERLESS, routes.SERVERLESS, SERVERLESS, V),
    (f"{SERVERLESS}/", routes.SERVERLESS, SERVERLESS, V),
    (f"  {SERVERLESS}\n", routes.SERVERLESS, SERVERLESS, V),
    (f"{SERVERLESS}//", routes.SERVERLESS, SERVERLESS, V),
    (f"{SERVERLESS}/chat/completions", routes.SERVERLESS, SERVERLESS, V),
    (f"{SERVERLESS}/chat/completions/", routes.SERVERLESS, SERVERLESS, V),
    (f"{SERVERLESS}/Chat/Completions", routes.SERVERLESS, SERVERLESS, V),
    (f"{SERVERLESS}/completions", routes.SERVERLESS, SERVERLESS, V),
    (f"{SERVERLESS}/info", routes.SERVERLESS, SERVERLESS, V),
    (f"{SERVERLESS}/v1/chat/completions", routes.SERVERLESS, f"{SERVERLESS}/v1", V),
    (f"{SERVERLESS}/v1/completions", routes.SERVERLESS, f"{SERVERLESS}/v1", V),
    (f"{SERVERLESS}/v1", routes.SERVERLESS, f"{SERVERLESS}/v1", V),
    (f"{SERVERLESS}#fragment", routes.SERVERLESS, SERVERLESS, V),
    (
        f"{SERVERLESS}?api-version=2025-04-01",
        routes.SERVERLESS,
        SERVERLESS,
        "?api-version=2025-04-01",
    ),
    (
        f"{SERVERLESS}/chat/completions?api-version=2025-04-01",
        routes.SERVERLESS,
        SERVERLESS,
        "?api-version=2025-04-01",
    ),
    (
        f"{SERVERLESS}?a=1%202",
        routes.SERVERLESS,
        SERVERLESS,
        "?a=1+2&api-version=2024-05-01-preview",
    ),
    (f"{SERVERLESS}:443", routes.SERVERLESS, f"{SERVERLESS}:443", V),
    ("phi.eastus2.models.ai.azure.com", routes.SERVERLESS, SERVERLESS, V),
    ("phi.eastus2.models.ai.azure.com/chat/completions", routes.SERVERLESS, SERVERLESS, V),
    ("HTTPS://PHI.EastUS2.Models.AI.Azure.com/", routes.SERVERLESS, SERVERLESS, V),
    (OLDER, routes.SERVERLESS, OLDER, V),
    (f"{OLDER}/v1/chat/completions", routes.SERVERLESS, f"{OLDER}/v1", V),
    (MANAGED, routes.MANAGED, MANAGED, V),
    (f"{MANAGED}/score", routes.MANAGED, MANAGED, V),
    (f"{MANAGED}/v1/chat/completions", routes.MANAGED, f"{MANAGED}/v1", V),
    (FOUNDRY, routes.OPENAI_V1, f"{FOUNDRY}/openai/v1", ""),
    (f"{FOUNDRY}/", routes.OPENAI_V1, f"{FOUNDRY}/openai/v1", ""),
    (f"{FOUNDRY}/models", routes.FOUNDRY, f"{FOUNDRY}/models", V),
    (f"{FOUNDRY}/chat/completions", routes.OPENAI_V1, f"{FOUNDRY}/openai/v1", ""),
    (f"{FOUNDRY}/models/chat/completions{V}", routes.FOUNDRY, f"{FOUNDRY}/models", V),
    ("res.services.ai.azure.com", routes.OPENAI_V1, f"{FOUNDRY}/openai/v1", ""),
    (f"{FOUNDRY}/{V}", routes.OPENAI_V1, f"{FOUNDRY}/openai/v1", ""),
    (
        f"{FOUNDRY}/api/projects/mine/openai/v1",
        routes.OPENAI_V1,
        f"{FOUNDRY}/api/projects/mine/openai/v1",
        "",
    ),
    (f"{FOUNDRY}/api/projects/mine/models", routes.FOUNDRY, f"{FOUNDRY}/models", V),
    (f"{FOUNDRY}/openai/v1", routes.OPENAI_V1, f"{FOUNDRY}/openai/v1", ""),
    (f"{FOUNDRY}/openai/v1/", routes.OPENAI_V1, f"{FOUNDRY}/openai/v1", ""),
    (f"{FOUNDRY}/openai/v1/chat/completions", routes.OPENAI_V1, f"{FOUNDRY}/openai/v1", ""),
    (f"{AOAI}/openai/v1/", routes.OPENAI_V1, f"{AOAI}/openai/v1", ""),
    (AOAI, routes.OPENAI_V1, f"{AOAI}/openai/v1", ""),
    (
        "https://res.cognitiveservices.azure.com",
        routes.OPENAI_V1,
        "https://res.cognitiveservices.azure.com/openai/v1",
        "",
    ),
    (
        f"{AOAI}/openai/deployments/phi",
        routes.AZURE_OPENAI,
        f"{AOAI}/openai/deployments/phi",
        "?api-version=2024-06-01",
    ),
    (
        f"{AOAI}/openai/deployments/phi/chat/completions?api-version=2024-10-21",
        routes.AZURE_OPENAI,
        f"{AOAI}/openai/deployments/phi",
        "?api-version=2024-10-21",
    ),
    (LOCAL, routes.OTHER, LOCAL, ""),
    ("127.0.0.1:8000", routes.OTHER, LOCAL, ""),
    ("localhost:11434/v1", routes.OPENAI_SERVER, "http://localhost:11434/v1", ""),
    (
        "http://localhost:11434/v1/chat/completions",
        routes.OPENAI_SERVER,
        "http://localhost:11434/v1",
        "",
    ),
    ("[::1]:8000", routes.OTHER, "http://[::1]:8000", ""),
    ("http://[::1]:8000/score", routes.OTHER, "http://[::1]:8000", ""),
    (
        "https://gateway.example.com/phi/v1/",
        routes.OPENAI_SERVER,
        "https://gateway.example.com/phi/v1",
        "",
    ),
    (
        "https://gateway.example.com/Team/Phi",
        routes.OTHER,
        "https://gateway.example.com/Team/Phi",
        "",
    ),
    (
        "https://notmodels.ai.azure.com.example.com",
        routes.OTHER,
        "https://notmodels.ai.azure.com.example.com",
        "",
    ),
    ("https://evil-models.github.ai", routes.OTHER, "https://evil-models.github.ai", ""),
]


def test_endpoints_are_recognized_however_they_are_pasted() -> None:
    """Host, base, a route pasted along, a query, white space, upper case, no scheme."""
    for pasted, endpoint_type, base, tail in PASTED:
        route = route_for(pasted)
        assert route.endpoint_type is endpoint_type
        assert route.base == base
        assert route.chat_url == f"{base}/chat/completions{tail}"
        info = base.removesuffix("/v1") if endpoint_type.has_info_route else base
        assert route.info_url == f"{info}/info{tail}"


def test_a_base_leads_to_the_same_route() -> None:
    """What traces and errors show can be pasted back."""
    for pasted in [p[0] for p in PASTED]:
        route = route_for(pasted)
        again = route_for(route.base)
        assert (again.base, again.endpoint_type) == (route.base, route.endpoint_type)


def test_the_users_version_comes_first() -> None:
    """Before the pasted one and the default."""
    for pasted, api_version in [
        (SERVERLESS, "2024-04-01-preview"),
        (f"{SERVERLESS}?api-version=2025-04-01", "2024-04-01-preview"),
        (f"{AOAI}/openai/v1", "preview"),
    ]:
        assert route_for(pasted, api_version).chat_url.endswith(
            f"/chat/completions?api-version={api_version}"
        )


def test_loopback_hosts_are_recognized() -> None:
    """Only here may the connection be plain http and without a credential."""
    for pasted, loopback in [
        ("http://localhost:8000", True),
        ("http://LOCALHOST", True),
        ("http://phi.localhost:8000", True),
        ("http://127.0.0.1", True),
        ("http://127.8.9.1:80/v1", True),
        ("http://[::1]", True),
        ("localhost", True),
        ("http://localhost.:8000", True),
        ("http://0.0.0.0:8000", True),
        ("0.0.0.0:8000/v1", True),
        ("http://[::]:8000/v1", True),
        ("http://[::ffff:127.0.0.1]/v1", True),
        ("http://[::ffff:192.168.1.5]/v1", False),
        ("http://0.0.0.0.example.com", False),
        ("http://127.1", False),
        ("http://192.168.1.5:8000/v1", False),
        ("http://localhost.example.com", False),
        ("http://127.0.0.1.example.com", False),
        ("http://[fe80::1]", False),
        (SERVERLESS, False),
    ]:
        assert route_for(pasted).loopback is loopback


def test_all_addresses_of_a_server_are_reached() -> None:
    """Windows connects to neither, and servers print both."""
    for pasted, base in [
        ("http://0.0.0.0:8000/v1", "http://127.0.0.1:8000/v1"),
        ("http://[::]:8000/v1", "http://[::1]:8000/v1"),
        ("http://[0:0:0:0:0:0:0:0]:8000/v1", "http://[::1]:8000/v1"),
    ]:
        assert route_for(pasted).base == base


def test_control_characters_are_refused() -> None:
    """Parsers of URLs drop some of them, so that the scheme that is sent is another one."""
    for character in "\t\n\r\x00\x01\x1b\x7f\x85\u2028":
        for pasted in (
            f"ht{character}tp://phi.example/v1",
            f"https:{character}//phi.example/v1",
            f"https://phi{character}.example/v1",
            f"https://phi.example/{character}v1",
        ):
            with pytest.raises(InvalidInputError, match="control character"):
                route_for(pasted)
    with pytest.raises(InvalidInputError, match="control character"):
        route_for("\x01http://phi.example/v1")


def test_schemes_without_two_slashes_are_refused() -> None:
    """Without a scheme, they would be the host and its port."""
    for pasted in ("http:/phi.example/v1", "https:/\\phi.example/v1", "HTTPS:phi.example"):
        with pytest.raises(InvalidInputError, match=r"(?i)two slashes must follow 'https?:'"):
            route_for(pasted)


def test_hosts_that_parsers_read_differently_are_refused() -> None:
    """The host that is checked is the host that gets the key."""
    for host in (
        "evil.example\\.models.ai.azure.com",
        "evil.example;.models.ai.azure.com",
        "evil.example<.models.ai.azure.com",
        "phi\uff0emodels.ai.azure.com",
        "phi\u3002models.ai.azure.com",
        "\uff45vil.example",
        "phi.models.ai.azure.com\u200b",
    ):
        with pytest.raises(InvalidInputError, match="host name"):
            route_for(f"https://{host}/v1")
    assert route_for("https://b\u00fccher.example/v1").base == "https://b\u00fccher.example/v1"


def test_only_loopback_defaults_to_http() -> None:
    """A key is never sent in the clear because somebody forgot eight characters."""
    assert route_for("example.com/v1").base == "https://example.com/v1"
    assert route_for("localhost/v1").base == "http://localhost/v1"


def test_other_schemes_are_refused_with_an_example() -> None:
    """The message shows what an endpoint looks like."""
    for pasted in [
        "",
        "  ",
        "/",
        "https://",
        "https:///chat/completions",
        "ftp://host",
        "file:///etc/passwd",
    ]:
        with pytest.raises(
            InvalidInputError, match=r"must be an http or https URL, such as https://"
        ):
            route_for(pasted)


def test_invalid_urls_are_refused_with_the_reason() -> None:
    """With and without a scheme."""
    for pasted in [
        "https://host:port",
        "https://host:99999",
        "https://[::1",
        "[::1",
        "[phi]",
        "https://[not-an-address]/",
        "::1",
        "https://.models.ai.azure.com",
        "https://phi..models.ai.azure.com",
        "https://phi eastus2.models.ai.azure.com",
        "https://phi%20.models.ai.azure.com",
        f"https://{'a' * 64}.models.ai.azure.com",
    ]:
        with pytest.raises(InvalidInputError, match="is not a valid URL: "):
            route_for(pasted)


def test_keys_inside_urls_are_refused_and_hidden() -> None:
    """Endpoints are logged; keys must not be."""
    for pasted in ["https://user:secret@host", "https://secret@host/v1"]:
        with pytest.raises(InvalidInputError, match="Pass the key as `credential`") as caught:
            route_for(pasted)
        assert "secret" not in str(caught.value)


def test_only_some_endpoint_types_take_a_model() -> None:
    """Single-model servers answer 404 to a name that they do not expect."""
    assert {
        endpoint_type.name: endpoint_type.model
        for endpoint_type in (routes.SERVERLESS, routes.MANAGED)
    } == {
        "serverless API": "omitted",
        "managed compute": "omitted",
    }
    assert {k.model for k in (routes.FOUNDRY, routes.OPENAI_V1)} == {"required"}
    assert {k.model for k in (routes.OTHER, routes.OPENAI_SERVER)} == {"optional"}


def test_projects_have_a_token_scope_of_their_own() -> None:
    """The resource's serves its /models route as well."""
    for pasted in (FOUNDRY, f"{FOUNDRY}/models", f"{FOUNDRY}/api/projects/mine"):
        assert route_for(pasted).scope == "https://cognitiveservices.azure.com/.default"
    project = route_for(f"{FOUNDRY}/api/projects/mine/openai/v1")
    assert project.scope == "https://ai.azure.com/.default"
    assert route_for("https://gateway.example.com/api/projects/mine/openai/v1").scope is None


def test_github_models_is_retired() -> None:
    """Both hosts; others that end alike are others."""
    for pasted in (
        "https://models.github.ai",
        "https://models.github.ai/orgs/us/inference",
        "https://Models.inference.AI.azure.com/chat/completions",
    ):
        with pytest.raises(InvalidInputError, match="retired on 2026-07-30"):
            route_for(pasted)


def test_query_parameters_are_kept() -> None:
    """Repeated ones, those without a value, and their order."""
    queries = {
        "a=1&a=2&flag&sig=x%2By%3D": "a=1&a=2&flag=&sig=x%2By%3D&" + V[1:],
        "a=1&api-version=3&a=2": "a=1&api-version=3&a=2",
        "api-version=&b": f"{V[1:]}&b=",
    }
    for pasted, sent in queries.items():
        route = route_for(f"{SERVERLESS}?{pasted}")
        assert f"{SERVERLESS}/chat/completions?{sent}" == route.chat_url
        assert f"{SERVERLESS}/info?{sent}" == route.info_url
    other = route_for(f"{SERVERLESS}?api-version=1&a=2&api-version=3", "9")
    assert other.chat_url.endswith("?api-version=9&a=2")
