"""Lists the properties of each type of endpoint."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import Literal

from langchain_azure_phi3._types import ConstraintForm

# The only value in the TypeSpec of the Azure AI Model Inference API, and the default of its SDK.
INFERENCE_VERSION = "2024-05-01-preview"

# The endpoint's type: inferred from its URL, or set by the user.
Api = Literal[
    "auto",
    "serverless",
    "managed",
    "score",
    "foundry",
    "openai-v1",
    "azure-openai",
    "openai-server",
    "foundry-local",
]

ML_SCOPE = "https://ml.azure.com/.default"
COGNITIVE_SCOPE = "https://cognitiveservices.azure.com/.default"
AI_SCOPE = "https://ai.azure.com/.default"  # for Foundry projects

# Parameters of OpenAI's API that are not in the Model Inference API's schema.
_OPENAI_PARAMETERS = frozenset(
    {"logprobs", "top_logprobs", "logit_bias", "n", "user", "stream_options"}
    | {"max_completion_tokens", "parallel_tool_calls", "reasoning_effort", "metadata", "store"}
)

# The bounds of the OpenAI API, the widest of Azure's. The Model Inference API allows temperatures
# to 1, at least on paper. Servers that users run, on managed compute too, differ: 3 is a
# temperature for vLLM, and -1 means no limit of tokens for Ollama, llama.cpp and LM Studio.
_LIMITS: Mapping[str, tuple[float, float]] = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "max_tokens": (0, inf),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
    "top_logprobs": (0, 20),
}


@dataclass(frozen=True, slots=True)
class EndpointType:
    """One type of endpoint.

    Attributes:
        name: Its name in error messages.
        model: Whether `model` is sent: several servers return 404 for an unexpected name.
        api_version: The default of the query parameter; `None` if there is none.
        has_info_route: Whether it has an `/info` route.
        info_version: The API version that has this route and accepts the name of a deployment, if
            one endpoint has several.
        extra_parameters: Parameters that it accepts without the `extra-parameters` header.
        limits: The lowest and the highest value of parameters, where all its servers reject others.
        tools: Whether the API accepts tools for any model.
        has_legacy_v1: Whether some servers of this type have completions under `/v1` only.
        converts_system_messages: Whether the service turns system messages into user messages.
        constraints: Parameters that constrain a response to a schema; each server accepts one of
            them. Empty if none is known to be safe for a Phi.
        has_reasoning_switch: Whether its servers pass `chat_template_kwargs` to the chat template.
        lists_models: Whether `/v1/models` lists the names for requests. Azure lists its catalog.
        retires_models: Whether Azure serves the models here, and retires them.
        self_hosted: Whether users run this server themselves, usually without a key.
        scope: The Entra ID scope of its tokens; `None` if it only accepts keys.
        entra_unsupported_reason: Why it does not accept Entra ID tokens, if documented.
        advice: Advice for errors, by status.
    """

    name: str
    model: Literal["omitted", "optional", "required"] = "omitted"
    api_version: str | None = None
    has_info_route: bool = True
    info_version: str | None = None
    extra_parameters: frozenset[str] = frozenset()
    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    tools: bool = True
    has_legacy_v1: bool = False
    converts_system_messages: bool = False
    constraints: tuple[ConstraintForm, ...] = ()
    has_reasoning_switch: bool = False
    lists_models: bool = False
    retires_models: bool = False
    self_hosted: bool = False
    scope: str | None = None
    entra_unsupported_reason: str = ""
    advice: Mapping[int, str] = field(default_factory=dict)


_KEY_ADVICE = "Check that the key belongs to this endpoint and was not regenerated."
_RETIRED = "A retired or deleted deployment also returns this status."

SERVERLESS = EndpointType(
    "serverless API",
    limits=_LIMITS,
    api_version=INFERENCE_VERSION,
    has_legacy_v1=True,
    retires_models=True,
    converts_system_messages=True,  # according to Azure's how-to of 2024-07-23
    entra_unsupported_reason="Azure's how-to of 2024-07-23 says: serverless API endpoints do not "
    "support Entra ID, only keys. If this is managed compute, set api='managed'.",
    advice={
        401: f"{_KEY_ADVICE} A serverless API accepts its own 32-character key, not Entra ID.",
        403: "Check the network rules of the project and that its subscription is active.",
        404: f"Check the host name of the endpoint. {_RETIRED}",
    },
)
MANAGED = EndpointType(
    "managed compute",
    api_version=INFERENCE_VERSION,
    tools=False,  # its server responds "Tools and tool_choice are not supported." to all models
    has_legacy_v1=True,
    # vLLM 0.12 and later accept the first, older ones the second.
    constraints=("structured_outputs", "guided_json"),
    has_reasoning_switch=True,
    scope=ML_SCOPE,
    advice={
        401: f"{_KEY_ADVICE} With Entra ID, the endpoint needs the auth mode aad_token.",
        403: "Check that the identity may score this online endpoint (role AzureML Data "
        "Scientist, or the action onlineEndpoints/score), and for network rules.",
        404: "Images from before 24 June 2024 only have /score (api='score') and "
        "/v1/chat/completions, and no /info.",
    },
)
FOUNDRY = EndpointType(
    "Foundry /models route",
    limits=_LIMITS,
    retires_models=True,
    model="required",
    api_version=INFERENCE_VERSION,
    info_version="2025-04-01",  # the specification's example; other versions show none
    scope=COGNITIVE_SCOPE,
    advice={
        401: f"{_KEY_ADVICE} With Entra ID, the audience is https://cognitiveservices.azure.com, "
        "or https://ai.azure.com for the URL of a project.",
        403: "Check for the role Cognitive Services User (a new role takes minutes to work), "
        "for key authentication being disabled, and for network rules.",
        404: f"Check that `model` is the name of a deployment. {_RETIRED} Azure announced the end "
        "of this route for 2026-08-26: its successor ends in /openai/v1.",
    },
)
OPENAI_V1 = EndpointType(
    "OpenAI v1 route",
    limits=_LIMITS,
    retires_models=True,
    model="required",
    has_info_route=False,
    extra_parameters=_OPENAI_PARAMETERS,
    scope=COGNITIVE_SCOPE,
    advice={**FOUNDRY.advice, 404: "Check that `model` is the name of a deployment."},
)
AZURE_OPENAI = EndpointType(
    "Azure OpenAI deployment",
    limits=_LIMITS,
    retires_models=True,
    model="optional",
    api_version="2024-06-01",
    has_info_route=False,
    extra_parameters=_OPENAI_PARAMETERS,
    scope=COGNITIVE_SCOPE,
    advice={**FOUNDRY.advice, 404: "Check the deployment's name in the endpoint."},
)
OPENAI_SERVER = EndpointType(
    "OpenAI-compatible server",
    self_hosted=True,
    model="optional",
    lists_models=True,
    # vLLM, llama.cpp, Ollama, LM Studio, SGLang and TGI accept it under /v1.
    constraints=("response_format",),
    has_reasoning_switch=True,
    has_info_route=False,
    extra_parameters=_OPENAI_PARAMETERS,
    advice={
        401: "Check the key that the server was started with.",
        403: "Check what the gateway in front of the server allows.",
        404: "Check that `model` is a name that the server lists under /v1/models.",
    },
)
FOUNDRY_LOCAL = replace(OPENAI_SERVER, name="Foundry Local", has_reasoning_switch=False)
OTHER = EndpointType(
    "endpoint",
    model="optional",
    lists_models=True,
    has_legacy_v1=True,
    advice={
        401: _KEY_ADVICE,
        403: "Check what the gateway in front of the model allows.",
        404: "If this is an OpenAI-compatible server such as Ollama, vLLM or Foundry Local, "
        "its endpoint ends in /v1.",
    },
)

BY_API: Mapping[str, EndpointType] = {
    "serverless": SERVERLESS,
    "managed": MANAGED,
    "score": MANAGED,
    "foundry": FOUNDRY,
    "openai-v1": OPENAI_V1,
    "azure-openai": AZURE_OPENAI,
    "openai-server": OPENAI_SERVER,
    "foundry-local": FOUNDRY_LOCAL,
}
