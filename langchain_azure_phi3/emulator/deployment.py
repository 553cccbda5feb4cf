"""The API without sockets: a request in, a reply out."""

import hashlib
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from langchain_azure_phi3.emulator import framing, misbehaviour, persona, refusals, safety
from langchain_azure_phi3.emulator.completion import Choice, Completion, choice_of, filtered
from langchain_azure_phi3.emulator.conversation import Persona, Prompt, Spoken
from langchain_azure_phi3.emulator.faults import Fault
from langchain_azure_phi3.emulator.quirks import (
    DIALECTS,
    Behaviour,
    Model,
    UsagePlace,
    model_named,
)
from langchain_azure_phi3.emulator.refusals import Refused
from langchain_azure_phi3.emulator.validation import ChatRequest, Engine, read, turns_of
from langchain_azure_phi3.emulator.wire import Json, Reply, Request, json_reply

DEFAULT_MODEL = "Phi-3-mini-4k-instruct"
EVENT_STREAM = "text/event-stream; charset=utf-8"

_Item = TypeVar("_Item")


class Deployment:
    """One endpoint with its models. Decides what is answered; sends nothing.

    It may be asked from several threads at once; so may then the persona.

    Args:
        models: Catalogue names; the first answers unless a request names another of them.
        key: The only key that opens it.
        speaks: What the model says.
        behaviour: Which of the ways seen in the wild it answers in.
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
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.models = tuple(model_named(name) for name in models or (DEFAULT_MODEL,))
        self.key = key
        self.behaviour = Behaviour() if behaviour is None else behaviour
        self.requests: list[Request] = []
        self.faults: deque[Fault] = deque()
        self.script: deque[str] = deque()
        self.misbehaviours: deque[str] = deque()
        self._dialect = DIALECTS[self.behaviour.dialect]
        self._speaks = speaks
        self._clock = clock

    def answer(self, request: Request) -> Reply:
        """The reply to a request, which is remembered in `requests`."""
        self.requests.append(request)
        fault = _next(self.faults)
        # What nobody will read is not composed: a scripted answer waits for the next request.
        replaced = fault is not None and fault.replaces
        reply = Reply(0) if replaced else self._composed(request)
        if fault is not None:
            reply = fault.applied_to(reply)
        if reply.streamed and "bytewise" in self.behaviour.framing:
            reply = replace(reply, steps=framing.bytewise(reply.steps))
        return replace(reply, headers={**_request_ids(request), **reply.headers})

    def _composed(self, request: Request) -> Reply:
        try:
            return self._routed(request)
        except Refused as refused:
            return refused.reply

    def _routed(self, request: Request) -> Reply:
        routes: dict[str, tuple[str, Callable[[Request], Reply]]] = {
            "/": ("GET", self._health),
            "/info": ("GET", self._info),
        }
        routes |= dict.fromkeys(self._dialect.chat_paths, ("POST", self._chat))
        if request.path not in routes:
            raise refusals.not_found()
        method, handler = routes[request.path]
        if request.method != method:
            raise refusals.method_not_allowed(method)
        return handler(request)

    def _health(self, _: Request) -> Reply:
        return json_reply(200, {"status": "healthy"})

    def _info(self, request: Request) -> Reply:
        self._admit(request)
        return json_reply(
            200,
            {
                "model_name": self.models[0].info_name,
                "model_type": self._dialect.info_type,
                "model_provider_name": self._dialect.info_provider,
            },
        )

    def _admit(self, request: Request) -> None:
        given = request.headers.get("authorization")
        if given == f"Bearer {self.key}":
            return
        if given is not None:
            raise refusals.wrong_key()
        if "api-key" in request.headers:
            raise refusals.only_an_api_key()
        raise refusals.no_authorization()

    def _chat(self, request: Request) -> Reply:
        self._admit(request)
        native = self.behaviour.tools == "native"
        chat, engine = read(request, self._dialect, native=native)
        model = self._named(chat.model)
        flooded = self._floods(chat)
        turns = turns_of(chat, model, self._dialect, native=native)
        found = safety.found_in((turn.text for turn in turns), safety.PROMPT_TRIGGERS)
        if len(found) > 0:
            raise safety.prompt_filtered(found, self.behaviour.safety)
        fields = chat.model_dump(exclude={"messages"}, exclude_unset=True)
        prompt = Prompt(model.info_name, turns, 0, fields, model.reasons)
        limit = _room(model, prompt.tokens, chat.max_tokens)
        choices = tuple(
            self._choice(replace(prompt, choice=index), chat, limit, flood=flooded)
            for index in range(engine.n)
        )
        completion = self._completion(request, prompt, choices, engine)
        return self._written(completion, stream=chat.stream)

    def _floods(self, chat: ChatRequest) -> bool:
        """Whether the answer is line feeds without end; where JSON is refused, there is none."""
        wants_json = chat.response_format is not None and chat.response_format.type != "text"
        if not wants_json or self.behaviour.tools == "native":
            return False
        if self.behaviour.json_mode == "refuse":
            raise refusals.json_mode_not_supported()
        return True

    def _named(self, name: str | None) -> Model:
        wanted = "" if name is None else name.lower()
        return next((m for m in self.models if m.name.lower() == wanted), self.models[0])

    def _choice(self, prompt: Prompt, chat: ChatRequest, limit: int, *, flood: bool) -> Choice:
        found = safety.found_in([prompt.last_user_text], safety.ANSWER_TRIGGERS)
        spoken = Spoken("\n" * (limit + 1)) if flood else self._said(prompt)
        choice = choice_of(spoken, stops=chat.stops, limit=limit)
        if len(found) > 0:
            return filtered(choice, safety.content_filter_results(found))
        if self.behaviour.annotations:
            return replace(choice, filter_results=safety.content_filter_results({}))
        return choice

    def _said(self, prompt: Prompt) -> Spoken:
        scripted = _next(self.script)
        if scripted is not None:
            return Spoken(scripted) if isinstance(scripted, str) else scripted
        said = self._speaks(prompt)
        spoken = Spoken(said) if isinstance(said, str) else said
        mistake = _next(self.misbehaviours)
        if mistake is not None:
            spoken = misbehaviour.misbehaved(mistake, spoken, prompt)
        if self.behaviour.reasoning == "field" or spoken.thoughts == "":
            return spoken
        text = f"<think>\n{spoken.thoughts}\n</think>\n\n{spoken.text}"
        return replace(spoken, text=text, thoughts="", tokens=None)

    def _completion(
        self, request: Request, prompt: Prompt, choices: tuple[Choice, ...], engine: Engine
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
        usual = self.behaviour.usage_in_streams
        if usual in ("finish", "none") and engine.stream_options.get("include_usage") is True:
            return "separate"
        return usual

    def _written(self, completion: Completion, *, stream: bool) -> Reply:
        if not stream:
            return json_reply(200, completion.whole())
        events = framing.events(completion.chunks(), self.behaviour.framing)
        return Reply(200, {"content-type": EVENT_STREAM}, events, streamed=True)


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
