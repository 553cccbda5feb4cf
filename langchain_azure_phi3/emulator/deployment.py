"""The API without sockets: a request in, a reply out."""

import hashlib
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from langchain_azure_phi3.emulator import (
    door,
    framing,
    front,
    misbehaviour,
    persona,
    refusals,
    safety,
    scoring,
)
from langchain_azure_phi3.emulator.completion import Choice, Completion, choice_of, filtered
from langchain_azure_phi3.emulator.conversation import Persona, Prompt, Spoken
from langchain_azure_phi3.emulator.server_types import DIALECTS, ChatPath, UsagePlace
from langchain_azure_phi3.emulator.faults import Fault
from langchain_azure_phi3.emulator.upstream_stream import LiveChoice
from langchain_azure_phi3.emulator.fault_sampling import Lots
from langchain_azure_phi3.emulator.models import Behaviour, Model, model_named, name_in
from langchain_azure_phi3.emulator.error_bodies import Refused
from langchain_azure_phi3.emulator.upstream import Upstream
from langchain_azure_phi3.emulator.validation import ChatRequest, Engine, read, turns_of
from langchain_azure_phi3.emulator.wire import Json, Reply, Request, json_reply

DEFAULT_MODEL = "Phi-3-mini-4k-instruct"
EVENT_STREAM = "text/event-stream; charset=utf-8"

_TOOL_FIELDS = frozenset({"parallel_tool_calls"})  # an extra that servers with tools know

_Item = TypeVar("_Item")


class Deployment:
    """One endpoint with its models. Decides what is answered; sends nothing.

    It may be asked from several threads at once; so may then the persona.

    Args:
        models: Catalogue names; the first answers unless a request names another of them.
        key: The only key that opens it.
        speaks: What the model says.
        behaviour: Which of the ways seen in the wild it answers in.
        seed: What the requests that fail by lot are drawn with.
        clock: Seconds since the epoch.

    Raises:
        ValueError: A model that the catalogue does not have.
    """

    def __init__(
        self,
        models: Sequence[str],
        key: str,
        *,
        speaks: Persona = persona.scripted,
        behaviour: Behaviour | None = None,
        seed: int = 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.models = tuple(model_named(name) for name in models or (DEFAULT_MODEL,))
        self.key = key
        self.behaviour = Behaviour() if behaviour is None else behaviour
        self.requests: list[Request] = []
        self.most_requests: int | None = None  # all, for tests; a server that runs for days forgets
        self.faults: deque[Fault | None] = deque()
        self.lots = Lots(seed)
        self.script: deque[str] = deque()
        self.misbehaviours: deque[str] = deque()
        self._dialect = DIALECTS[self.behaviour.dialect]
        self._chat_paths = {
            path.format(model=model.name): rules
            for path, rules in self._dialect.chat_paths.items()
            for model in self.models
        }
        self._speaks = speaks
        # The scripted stand-in takes no time; of any other persona that is not known.
        self.blocks = speaks is not persona.scripted
        self._clock = clock

    def answer(self, request: Request) -> Reply:
        """The reply to a request, which is remembered in `requests`."""
        # What was ordered for the next request comes before what is drawn.
        fault = _next(self.faults) if len(self.faults) > 0 else self.lots.drawn(request)
        self.requests.append(replace(request, fault=fault))
        if self.most_requests is not None:
            del self.requests[: -self.most_requests]
        # What nobody will read is not composed: a scripted answer waits for the next request.
        replaced = fault is not None and fault.replaces
        reply = Reply(0) if replaced else self._composed(request)
        if fault is not None:
            reply = fault.applied_to(reply)
        if reply.streamed and "bytewise" in self.behaviour.framing:
            reply = replace(reply, steps=framing.bytewise(reply.steps))
        return replace(reply, headers={**_request_ids(request), **reply.headers})

    @property
    def base(self) -> str:
        """What follows the host in the endpoint."""
        return self._dialect.base.format(model=self.models[0].name)

    def _composed(self, request: Request) -> Reply:
        try:
            if request.path != "/":
                door.admit(request, self._dialect.door, self.key)
        except Refused as refused:
            return refused.reply
        try:
            return self._routed(request)
        except Refused as refused:
            return front.answered(refused, self._dialect)

    def _routed(self, request: Request) -> Reply:
        routes = self._routes()
        if request.path not in routes:
            if request.path.startswith("/openai/deployments/"):
                raise refusals.no_such_deployment()
            raise refusals.not_found()
        method, handler = routes[request.path]
        if request.method != method:
            raise refusals.method_not_allowed(method)
        if self._dialect.api_version and "api-version" not in request.query:
            raise refusals.no_api_version()
        return handler(request)

    def _routes(self) -> dict[str, tuple[str, Callable[[Request], Reply]]]:
        routes: dict[str, tuple[str, Callable[[Request], Reply]]] = {"/": ("GET", self._health)}
        if self._dialect.info_path is not None:
            routes[self._dialect.info_path] = "GET", self._info
        if self._dialect.models_path is not None:
            routes[self._dialect.models_path] = "GET", self._list
        if self._dialect.score != "none":
            routes["/score"] = "POST", self._score
        return routes | dict.fromkeys(self._chat_paths, ("POST", self._chat))

    def _health(self, _: Request) -> Reply:
        return json_reply(200, {"status": "healthy"})

    def _info(self, request: Request) -> Reply:
        model = self.models[0]
        if self._dialect.info_named:
            # Only this version of the specification has the route, with the deployment's name.
            wanted = request.query.get("model_deployment")
            if wanted is None or request.query["api-version"] < "2025-04-01":
                raise refusals.not_found()
            model = self._named(wanted)
        return json_reply(
            200,
            {
                "model_name": name_in(self._dialect, model),
                "model_type": self._dialect.info_type,
                "model_provider_name": self._dialect.info_provider,
            },
        )

    def _list(self, _: Request) -> Reply:
        about = {"object": "model", "created": int(self._clock()), "owned_by": "microsoft"}
        return json_reply(
            200, {"object": "list", "data": [{"id": m.name, **about} for m in self.models]}
        )

    def _chat(self, request: Request) -> Reply:
        chat, completion = self._answered(request, self._chat_paths[request.path])
        return self._written(completion, stream=chat.stream and self._dialect.streams)

    def _score(self, request: Request) -> Reply:
        try:
            _, completion = self._answered(scoring.as_chat(request), scoring.PATH)
        except Refused as refused:
            return json_reply(200, scoring.failure(refused, self._dialect.score))
        return json_reply(200, scoring.answer(completion, self._dialect.score))

    def _answered(self, request: Request, path: ChatPath) -> tuple[ChatRequest, Completion]:
        native = self.behaviour.tools == "native"
        chat, engine = read(request, path, native=native)
        model = self._named(chat.model)
        flooded = self._floods(chat)
        turns = turns_of(chat, model, self._dialect, native=native)
        found = safety.found_in((turn.text for turn in turns), safety.PROMPT_TRIGGERS)
        if len(found) > 0:
            raise safety.prompt_filtered(found, self.behaviour.safety or self._dialect.safety)
        fields = _reaching(chat, engine)
        prompt = Prompt(name_in(self._dialect, model), turns, 0, fields, model.reasons)
        wanted = self._dialect.max_tokens if chat.max_tokens is None else chat.max_tokens
        limit = _room(model, prompt.tokens, wanted)
        choices = tuple(
            self._choice(replace(prompt, choice=index), chat, limit, flood=flooded)
            for index in range(engine.n)
        )
        if not path.logprobs or isinstance(self._speaks, Upstream):
            engine = engine.model_copy(update={"logprobs": False})
        return chat, self._completion(request, prompt, choices, engine)

    def _floods(self, chat: ChatRequest) -> bool:
        """Whether the answer is line feeds without end; where JSON is refused, there is none."""
        wants_json = chat.response_format is not None and chat.response_format.type != "text"
        if not wants_json or self.behaviour.tools == "native":
            return False
        if self.behaviour.json_mode == "refuse":
            raise refusals.json_mode_not_supported()
        return True

    def _named(self, name: str | None) -> Model:
        if name is None:
            if self._dialect.model == "required":
                raise refusals.no_model_name()
            return self.models[0]
        wanted = name.lower().removeprefix("microsoft/")
        found = next((model for model in self.models if model.name.lower() == wanted), None)
        if found is None and self._dialect.model != "ignored":
            raise refusals.no_model_called(name, self._dialect.door)
        return self.models[0] if found is None else found

    def _choice(
        self, prompt: Prompt, chat: ChatRequest, limit: int, *, flood: bool
    ) -> Choice | LiveChoice:
        found = safety.found_in([prompt.last_user_text], safety.ANSWER_TRIGGERS)
        streams = chat.stream and self._dialect.streams
        if streams and not flood and len(found) == 0 and self._is_live:
            return self._live(prompt)
        spoken = Spoken("\n" * (limit + 1)) if flood else self._said(prompt)
        choice = choice_of(spoken, stops=chat.stops, limit=limit)
        if len(found) > 0:
            return filtered(choice, safety.content_filter_results(found))
        if self.behaviour.annotations:
            return replace(choice, filter_results=safety.content_filter_results({}))
        return choice

    @property
    def _is_live(self) -> bool:
        """Whether a real model speaks next, unchanged, so that its words need not be collected."""
        is_real = isinstance(self._speaks, Upstream)
        return is_real and len(self.script) == 0 and len(self.misbehaviours) == 0

    def _live(self, prompt: Prompt) -> LiveChoice:
        assert isinstance(self._speaks, Upstream)  # noqa: S101 -- `_is_live`
        choice = self._speaks.stream(prompt)
        choice.thinks_aloud = self.behaviour.reasoning == "text"
        if self.behaviour.annotations:
            choice.filter_results = safety.content_filter_results({})
        return choice

    def _said(self, prompt: Prompt) -> Spoken:
        scripted = _next(self.script)
        if scripted is not None:
            return Spoken(scripted)
        said = self._speaks(prompt)
        spoken = Spoken(said) if isinstance(said, str) else said
        kind = _next(self.misbehaviours)
        if kind is not None:
            spoken = misbehaviour.misbehaved(kind, spoken, prompt)
        if self.behaviour.reasoning == "field" or spoken.thoughts == "":
            return spoken
        text = f"<think>\n{spoken.thoughts}\n</think>\n\n{spoken.text}"
        tokens = spoken.tokens if spoken.final else None
        return replace(spoken, text=text, thoughts="", tokens=tokens)

    def _completion(
        self,
        request: Request,
        prompt: Prompt,
        choices: tuple[Choice | LiveChoice, ...],
        engine: Engine,
    ) -> Completion:
        findings = safety.prompt_filter_results({}) if self.behaviour.annotations else None
        return Completion(
            id=hashlib.sha256(request.body).hexdigest()[:32],
            created=int(self._clock()),
            model=prompt.model,
            prompt_tokens=prompt.tokens,
            choices=choices,
            top_logprobs=engine.top_logprobs if engine.logprobs else None,
            prompt_filter_results=findings,
            usage_place=self._usage_place(engine),
        )

    def _usage_place(self, engine: Engine) -> UsagePlace:
        usual = self.behaviour.usage_in_streams or self._dialect.usage
        if usual in ("finish", "none") and engine.stream_options.get("include_usage") is True:
            return "separate"
        return usual

    def _written(self, completion: Completion, *, stream: bool) -> Reply:
        if not stream:
            body = completion.whole()
            if not self._dialect.finishes:
                for choice in body["choices"]:
                    choice["finish_reason"] = None
            return json_reply(200, body)
        events = framing.events(_told(completion.chunks()), self.behaviour.framing)
        return Reply(200, {"content-type": EVENT_STREAM}, events, streamed=True, blocks=self.blocks)


def _told(chunks: Iterator[Json]) -> Iterator[Json]:
    """The chunks; a failure in the middle becomes the last of them, as vLLM has it."""
    try:
        yield from chunks
    except Refused as refused:
        yield refused.body


def _reaching(chat: ChatRequest, engine: Engine) -> Json:
    """The request's fields that reach the model, with those extras that were let through."""
    reach = chat.model_fields_set & {*ChatRequest.model_fields, *_TOOL_FIELDS}
    fields = chat.model_dump(include=reach - {"messages"}, exclude_unset=True)
    return fields | engine.model_dump(exclude_unset=True)


def _next(queue: deque[_Item]) -> _Item | None:
    """The first of a queue that other threads may empty meanwhile."""
    try:
        return queue.popleft()
    except IndexError:
        return None


def _room(model: Model, prompt: int, wanted: int | None) -> int:
    """How many tokens the answer may have."""
    if wanted is None:
        if prompt >= model.context:
            raise refusals.context_exceeded(model.context, prompt, None)
        return min(model.max_output, model.context - prompt)
    if prompt + wanted > model.context:
        raise refusals.context_exceeded(model.context, prompt, wanted)
    return wanted


def _request_ids(request: Request) -> Json:
    ids = {"x-ms-request-id": str(uuid.uuid4()), "apim-request-id": str(uuid.uuid4())}
    sent = request.headers.get("x-ms-client-request-id")
    return ids if sent is None else ids | {"x-ms-client-request-id": sent}
