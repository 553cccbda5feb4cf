"""Remembers what servers reported about their deployments until the process ends."""

from collections.abc import Sequence

from langchain_azure_phi3._http.routes import Route
from langchain_azure_phi3._model_listing import ListedModel
from langchain_azure_phi3._types import DeploymentFacts
from langchain_azure_phi3.models import learn_model

_REMEMBERED = 1000

# By chat URL, deployment header and model name, as in a `Quota`. Without a lock, which could remain
# locked after a fork; each access is one operation on a dict.
_known: dict[tuple[str, str, str], DeploymentFacts] = {}


def find_facts(route: Route, deployment: str | None, model: str | None) -> DeploymentFacts:
    """Return the facts about one deployment, which the caller may read and update.

    Args:
        route: The route of its requests.
        deployment: The header `azureml-model-deployment`, if it is sent.
        model: The name of the model; ignored if requests do not send it.
    """
    if route.endpoint_type.model == "omitted":
        model = None
    key = (route.chat_url, deployment or "", model or "")
    facts = _known.get(key)
    if facts is None:
        if len(_known) >= _REMEMBERED:
            _known.pop(next(iter(list(_known))), None)  # the oldest
        facts = _known.setdefault(key, DeploymentFacts())
    return facts


def learn_models(route: Route, deployment: str | None, listed: Sequence[ListedModel]) -> None:
    """Remember a server's list: the Phi and the context of each model, and the only name."""
    only = listed[0] if len(listed) == 1 else None
    for name, model in [(model.name, model) for model in listed] + ([(None, only)] if only else []):
        facts = find_facts(route, deployment, name)
        facts.context = model.context or facts.context
        learn_model(facts, model.base)
    find_facts(route, deployment, None).served_name = None if only is None else only.name
