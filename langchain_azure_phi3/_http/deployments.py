"""What servers reported about their deployments, remembered for the life of the process."""

from langchain_azure_phi3._http.routes import Route
from langchain_azure_phi3._types import DeploymentFacts

_REMEMBERED = 1000

# By chat URL, deployment header and model name, as in a `Quota`. Without a lock, which a fork could
# leave held: each access is one operation on a dict.
_known: dict[tuple[str, str, str], DeploymentFacts] = {}


def find_facts(route: Route, deployment: str | None, model: str | None) -> DeploymentFacts:
    """The facts of one deployment, to be read and filled in.

    Args:
        route: Where its requests go.
        deployment: The header `azureml-model-deployment`, if it is sent.
        model: The name of the model; ignored where requests do not send it.
    """
    if route.endpoint_type.model == "omitted":
        model = None
    key = (route.chat_url, deployment or "", model or "")
    facts = _known.get(key)
    if facts is None:
        if len(_known) >= _REMEMBERED:
            _known.clear()
        facts = _known.setdefault(key, DeploymentFacts())
    return facts
