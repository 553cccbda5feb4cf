"""The API without sockets: converts requests to replies."""

import hashlib
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from langchain_azure_phi3._types import Json
from langchain_azure_phi3.emulator import content_filter, error_bodies, framing, score_route
from langchain_azure_phi3.emulator.authentication import authenticate
from langchain_azure_phi3.emulator.behavior import Behavior
from langchain_azure_phi3.emulator.completion import Choice, Completion, build_choice, filter_choice
from langchain_azure_phi3.emulator.constraints import (
    Constraint,
    parse_constraint,
    to_model_fields,
)
from langchain_azure_phi3.emulator.conversation import Generation, Prompt, Responder
from langchain_azure_phi3.emulator.engine_reports import list_entry, props
from langchain_azure_phi3.emulator.error_bodies import ApiError
from langchain_azure_phi3.emulator.fault_sampling import FaultSampler
from langchain_azure_phi3.emulator.faults import Fault
from langchain_azure_phi3.emulator.gateway_errors import render_error
from langchain_azure_phi3.emulator.model_errors import apply_model_error
from langchain_azure_phi3.emulator.models import Model, find_model, reported_name
from langchain_azure_phi3.emulator.quota import Quota
from langchain_azure_phi3.emulator.responder import respond
from langchain_azure_phi3.emulator.server_types import SERVER_TYPES, ChatPath, Engine, StreamUsage
from langchain_azure_phi3.emulator.upstream import Upstream
from langchain_azure_phi3.emulator.upstream_stream import (
    REASONING_END,
    REASONING_START,
    StreamedChoice,
)
from langchain_azure_phi3.emulator.validation import (
    ChatRequest,
    EngineParameters,
    parse_chat_request,
    read_messages,
)
from langchain_azure_phi3.emulator.wire import Reply, Request, json_reply

_MAX_KEPT_BYTES = 100_000_000  # of the bodies of recorded requests
DEFAULT_MODEL = "Phi-3-mini-4k-instruct"
_TOOL_FIELDS = frozenset({"parallel_tool_calls"})  # an extra parameter that tool servers accept

_Item = TypeVar("_Item")


class Deployment:
    """One endpoint with its models. It generates replies and sends nothing.

    Several threads may use it at once, and it may call the responder from several threads.

    Raises:
        ValueError: There is no such model.
    """

    def __init__(
        self,
        models: Sequence[str],
        key: str,
        behavior: Behavior,
        quota: Quota,
        *,
        deployment: str | None = None,
        context: int | None = None,
        responder: Responder = respond,
        seed: int = 0,
    ) -> None:
        first, *others = [find_model(name) for name in models or (DEFAULT_MODEL,)]
        first = replace(first, name=deployment or first.name, context=context or first.context)
        self.models = (first, *others)
        self.key = key
        self.behavior = behavior
        self.quota = quota
        self.requests: list[Request] = []
        self.max_requests: int | None = None  # how many to keep; `None`: all, for tests
        self.faults: deque[Fault | None] = deque()
        self.fault_sampler = FaultSampler(seed)
        self.script: deque[str] = deque()
        self.model_errors: deque[str] = deque()
        self._server = SERVER_TYPES[behavior.server_type]
        self._chat_paths = {
            path.format(model=model.name): behavior.adapt(rules)
            for path, rules in self._server.chat_paths.items()
            for model in self.models
        }
        self._responder = responder
        self.blocking = responder is not respond  # other responders may be slow

    @property
    def base_path(self) -> str:
        """The path of the endpoint."""
        return self._server.base_path.format(model=self.models[0].name)

    def answer(self, request: Request) -> Reply:
        """Return the reply to a request, and record the request in `requests`."""
        queued = len(self.faults) > 0
        fault = _pop(self.faults) if queued else self.fault_sampler.sample(request)
        self.requests.append(replace(request, fault=fault))
        if self.max_requests is not None:
            del self.requests[: -self.max_requests]
            while sum(len(kept.body) for kept in self.requests) > _MAX_KEPT_BYTES:
                del self.requests[:1]
        # A response that is not sent is not generated, so that it does not use up a script.
        is_replaced = fault is not None and fault.replaces_answer
        reply = Reply(0) if is_replaced else self._authenticate_and_route(request)
        if fault is not None:
            reply = fault.apply(reply)
        if reply.streamed and "bytewise" in self.behavior.framing:
            reply = replace(reply, parts=framing.split_bytes(reply.parts))
        return replace(reply, headers={**_request_ids(request), **reply.headers})

    def _authenticate_and_route(self, request: Request) -> Reply:
        limit = self.behavior.max_body_bytes
        if request.size > limit:
            return render_error(error_bodies.body_too_large(limit), self._server)
        try:
            if request.path != "/":
                authenticate(request, self._server.auth, self.key)
        except ApiError as error:
            return error.reply
        try:
            return self._route(request)
        except ApiError as error:
            return render_error(error, self._server)

    def _route(self, request: Request) -> Reply:
        routes = self._routes()
        if request.path not in routes:
            is_deployment = request.path.startswith("/openai/deployments/")
            raise error_bodies.fixed_error("unknown_deployment" if is_deployment else "not_found")
        method, handler = routes[request.path]
        if request.method != method:
            raise error_bodies.method_not_allowed(method)
        is_versioned = self._server.requires_api_version and request.path != "/"
        if is_versioned and "api-version" not in request.query:
            raise error_bodies.fixed_error("missing_api_version")
        return handler(request)

    def _routes(self) -> dict[str, tuple[str, Callable[[Request], Reply]]]:
        has_score = self._server.score_format != "none"
        routes: dict[str | None, tuple[str, Callable[[Request], Reply]]] = {
            "/": ("GET", lambda _: json_reply(200, {"status": "healthy"})),
            self._server.info_path: ("GET", self._get_info),
            self._server.models_path: ("GET", self._list_models),
            "/props" if self._server.engine == "llama.cpp" else None: (
                "GET",
                lambda _: json_reply(200, props(self.models[0])),
            ),
            "/score" if has_score else None: ("POST", self._post_score),
            **dict.fromkeys(self._chat_paths, ("POST", self._post_chat)),
        }
        return {path: route for path, route in routes.items() if path is not None}

    def _get_info(self, request: Request) -> Reply:
        model = self.models[0]
        if self._server.info_requires_deployment:
            # The route exists only in this version of the API.
            name = request.query.get("model_deployment")
            if name is None or request.query["api-version"] < "2025-04-01":
                raise error_bodies.fixed_error("not_found")
            model = self._find_model(name)
        info = {
            "model_name": reported_name(self._server, model),
            "model_type": self._server.info_model_type,
            "model_provider_name": self._server.info_provider,
        }
        return json_reply(200, info)

    def _list_models(self, _: Request) -> Reply:
        models = [list_entry(self._server.engine, model) for model in self.models]
        return json_reply(200, {"object": "list", "data": models})

    def _post_chat(self, request: Request) -> Reply:
        completion, is_stream = self._complete(request, self._chat_paths[request.path])
        if is_stream:
            chunks = _end_with_error(completion.chunks())
            events = framing.encode_events(chunks, self.behavior.framing)
            headers = {"content-type": "text/event-stream; charset=utf-8", **completion.headers}
            return Reply(200, headers, events, streamed=True, blocking=self.blocking)
        body = completion.to_json()
        if not self._server.sends_finish_reason:
            for choice in body["choices"]:
                choice["finish_reason"] = None
        return json_reply(200, body, completion.headers)

    def _post_score(self, request: Request) -> Reply:
        score_format = self._server.score_format
        try:
            chat_request = score_route.to_chat_request(request)
            completion, _ = self._complete(chat_request, score_route.CHAT_PATH)
        except ApiError as error:
            if error.status == 429:  # from the gateway itself
                raise
            return json_reply(200, score_route.format_error(error, score_format))
        body = score_route.format_completion(completion, score_format)
        return json_reply(200, body, completion.headers)

    def _complete(self, request: Request, path: ChatPath) -> tuple[Completion, bool]:
        """Return the completion, and whether it is streamed."""
        native = self.behavior.tools == "native"
        chat, engine = parse_chat_request(request, path, native=native)
        model = self._find_model(chat.model)
        floods = self._floods(chat, path)
        constraint = parse_constraint(chat, engine, path.constraints)
        messages = read_messages(chat, model, self._server, native=native)
        name = reported_name(self._server, model)
        fields = _model_parameters(chat, engine)
        if constraint is None or isinstance(self._responder, Upstream):
            fields = to_model_fields(fields, constraint)
        prompt = Prompt(name, messages, 0, fields, model.has_reasoning)
        default = self._server.default_max_tokens
        max_tokens = default if chat.max_tokens is None else chat.max_tokens
        limit = _token_limit(model, prompt.tokens, max_tokens, self._server.engine)
        headers = self.quota.admit(prompt.tokens + (chat.max_tokens or 0) * engine.n)
        self._filter_prompt([message.text for message in messages])
        is_stream = chat.stream and self._server.supports_streaming
        has_logprobs = path.returns_logprobs and not isinstance(self._responder, Upstream)
        completion = Completion(
            id=hashlib.sha256(request.body).hexdigest()[:32],
            created=int(time.time()),
            model=name,
            prompt_tokens=prompt.tokens,
            choices=tuple(
                self._choose(
                    replace(prompt, choice=index), chat.stops, limit, floods, is_stream, constraint
                )
                for index in range(engine.n)
            ),
            top_logprobs=engine.top_logprobs if engine.logprobs and has_logprobs else None,
            options=() if constraint is None else constraint.options,
            has_prompt_filter_results=self.behavior.include_filter_results,
            stream_usage=self._stream_usage(engine),
            headers=headers,
            engine=self._server.engine,
        )
        return completion, is_stream

    def _filter_prompt(self, texts: Sequence[str]) -> None:
        findings = content_filter.find_triggers(texts, content_filter.PROMPT_TRIGGERS)
        if len(findings) > 0:
            error_format = self.behavior.filter_error_format or self._server.filter_error_format
            raise content_filter.prompt_filtered(findings, error_format)

    def _floods(self, chat: ChatRequest, path: ChatPath) -> bool:
        """Whether the response consists of line feeds, as in the JSON mode of some deployments."""
        if chat.response_format is None or chat.response_format.type != "json_object":
            return False
        json_mode = None if self.behavior.tools == "native" else self.behavior.json_mode
        default = "refuse" if path.constraints.json_object == "reject" else None
        if (json_mode or default) == "refuse":
            raise error_bodies.fixed_error("json_mode_not_supported")
        return json_mode == "flood"

    def _find_model(self, name: str | None) -> Model:
        if name is None:
            if self._server.model_field == "required":
                raise error_bodies.missing_model(self._server.auth)
            return self.models[0]
        lowered = name.lower()
        found = next((model for model in self.models if model.name.lower() == lowered), None)
        if found is None and self._server.model_field != "ignored":
            raise error_bodies.unknown_model(name, self._server.auth)
        return self.models[0] if found is None else found

    def _choose(
        self,
        prompt: Prompt,
        stops: Sequence[str],
        limit: int,
        floods: bool,
        is_stream: bool,
        constraint: Constraint | None,
    ) -> Choice | StreamedChoice:
        triggers = content_filter.ANSWER_TRIGGERS
        findings = content_filter.find_triggers([prompt.last_user_text], triggers)
        is_filtered = len(findings) > 0
        results = None
        if self.behavior.include_filter_results or is_filtered:
            results = content_filter.content_filter_results(findings)
        # A real model's response is passed on as it arrives, unless something changes it.
        is_changed = floods or is_filtered or len(self.script) > 0 or len(self.model_errors) > 0
        if is_stream and not is_changed and isinstance(self._responder, Upstream):
            in_text = self.behavior.reasoning == "text"
            return StreamedChoice(self._responder.stream(prompt), in_text, results)
        generation = (
            Generation("\n" * (limit + 1)) if floods else self._generate(prompt, constraint)
        )
        choice = build_choice(generation, stops, limit, results)
        return filter_choice(choice) if is_filtered else choice

    def _generate(self, prompt: Prompt, constraint: Constraint | None) -> Generation:
        in_text = self.behavior.reasoning == "text"
        generation = self._generate_freely(prompt)
        if constraint is not None and not generation.final:
            # Only a server that parses reasoning constrains the text after it.
            reasoning = "" if in_text else generation.reasoning
            generation = replace(constraint.apply(generation), reasoning=reasoning)
        if not in_text or generation.reasoning == "":
            return generation
        text = f"{REASONING_START}{generation.reasoning}{REASONING_END}{generation.text}"
        tokens = generation.tokens if generation.final else None
        return replace(generation, text=text, reasoning="", tokens=tokens)

    def _generate_freely(self, prompt: Prompt) -> Generation:
        scripted = _pop(self.script)
        if scripted is not None:
            return Generation(scripted)
        answer = self._responder(prompt)
        generation = Generation(answer) if isinstance(answer, str) else answer
        model_error = _pop(self.model_errors)
        if model_error is not None:
            generation = apply_model_error(model_error, generation, prompt)
        return generation

    def _stream_usage(self, engine: EngineParameters) -> StreamUsage:
        default = self.behavior.usage_in_streams or self._server.stream_usage
        requested = engine.stream_options.get("include_usage") is True
        return "separate" if requested and default in ("finish", "none") else default


def _end_with_error(chunks: Iterator[Json]) -> Iterator[Json]:
    """Yield the chunks; an error in the middle becomes the last chunk, as in vLLM."""
    try:
        yield from chunks
    except ApiError as error:
        yield error.body


def _model_parameters(chat: ChatRequest, engine: EngineParameters) -> Json:
    """Return the fields of the request that reach the model."""
    names = chat.model_fields_set & {*ChatRequest.model_fields, *_TOOL_FIELDS}
    fields = chat.model_dump(include=names - {"messages"}, exclude_unset=True)
    return fields | engine.model_dump(exclude_unset=True)


def _pop(queue: deque[_Item]) -> _Item | None:
    """Return the first item of a queue that other threads may empty at the same time."""
    try:
        return queue.popleft()
    except IndexError:
        return None


def _token_limit(model: Model, prompt: int, max_tokens: int | None, engine: Engine | None) -> int:
    """Return the maximum number of tokens of the response."""
    least = 1 if max_tokens is None else max_tokens
    if engine == "llama.cpp":
        if prompt >= model.context:
            raise error_bodies.prompt_exceeds_context(model.context, prompt)
        return min(model.max_output if max_tokens is None else max_tokens, model.context - prompt)
    if prompt + least > model.context:
        raise error_bodies.context_exceeded(model.context, prompt, max_tokens)
    return min(model.max_output, model.context - prompt) if max_tokens is None else max_tokens


def _request_ids(request: Request) -> Json:
    ids = {"x-ms-request-id": str(uuid.uuid4()), "apim-request-id": str(uuid.uuid4())}
    client_id = request.headers.get("x-ms-client-request-id")
    return ids if client_id is None else ids | {"x-ms-client-request-id": client_id}
