"""Required objects and calls are constrained on the wire wherever the server can do it."""

import json
import multiprocessing
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import httpx
import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.exceptions import OutputParserException
from langchain_core.runnables import RunnableLambda
from pydantic import BaseModel

from langchain_azure_phi3 import BadRequestError, ChatAzurePhi3, ContentFilterError
from langchain_azure_phi3._http import deployments
from langchain_azure_phi3.emulator import Emulator
from tests.integration_tests.call_modes import CALL_MODES, STREAM_MODES, call_model
from tests.integration_tests.test_server_types import EVERY, server_of
from tests.scripted_server import Answer, Json, ScriptedServer, scripted_server

FORMS = ("response_format", "guided_json", "structured_outputs")
METHODS: tuple[Any, ...] = ("json_schema", "function_calling", "json_mode")
MINI = "Phi-3-mini-4k-instruct"
OBJECT = '{"city": "Ulm"}'
CALL = '{"name": "weather", "arguments": {"city": "Ulm"}}'
NAMED_EXTRA = "[{'type': 'extra_forbidden', 'loc': ('body', '%s'), 'msg': 'Extra inputs are not'}]"


class City(BaseModel):
    """A city."""

    city: str


def weather(city: str) -> str:
    """The weather in a city."""
    return f"Sunny in {city}."


def time_in(city: str, seconds: bool) -> str:
    """The time in a city."""
    return f"Noon in {city}, {seconds}."


def model_of(server: ScriptedServer, path: str = "/v1", **settings: Any) -> ChatAzurePhi3:
    """A model on a server of one's own, or on managed compute with another path."""
    given = {"model": MINI, "credential": "", "max_retries": 0, **settings}
    return ChatAzurePhi3(endpoint=server.url + path, **given)


def managed(server: ScriptedServer, **settings: Any) -> ChatAzurePhi3:
    """A model on managed compute."""
    return model_of(server, "", api="managed", **settings)


def forms_of(payload: Json) -> tuple[str, ...]:
    """The forms of constraints that a request holds, by name."""
    return tuple(sorted(payload.keys() & set(FORMS)))


def sent(server: ScriptedServer) -> list[tuple[str, ...]]:
    """The forms in each request."""
    return [forms_of(payload) for payload in server.payloads]


def schema_of(payload: Json) -> Json:
    """The schema in a request's `response_format`."""
    schema: Json = payload["response_format"]["json_schema"]["schema"]
    return schema


def rejecting(error: Callable[[tuple[str, ...]], Any], *, text: str = OBJECT) -> Answer:
    """A server that answers an error to some combinations of forms, else a text."""

    def answer(payload: Json) -> Any:
        found = error(forms_of(payload))
        return text if found is None else (400, found)

    return answer


# -- which form is sent where --------------------------------------------------------------------

BOTH = ("guided_json", "structured_outputs")
OWN_SERVERS = {"openai-server", "vllm", "llama.cpp", "foundry-local"}


def expected_forms(name: str) -> tuple[str, ...]:
    """What is sent to a server type without `constrained_decoding`."""
    if name in OWN_SERVERS:
        return ("response_format",)
    is_managed = name.startswith(("managed", "foundation")) and not name.endswith("/score")
    return BOTH if is_managed else ()


def test_form_follows_from_the_type_of_endpoint() -> None:
    """Nothing is sent to Azure's other services and to `/score`, whatever the method is."""
    for name in EVERY:
        expected = expected_forms(name)
        deployments._known.clear()  # several types have the same URL here
        with Emulator(server_type=name.split()[0]) as phi:
            row = server_of(name)
            client = httpx.Client(transport=phi.transport())
            settings = {"credential": phi.key, "http_client": client, **row.settings}
            model = ChatAzurePhi3(endpoint=row.endpoint, **settings)
            for method in METHODS:
                phi.script(*[OBJECT] * 5)
                first = len(phi.requests)
                model.with_structured_output(City, method=method).invoke("JSON: a city?")
                found = forms_of(phi.requests[first].json or {})
                if method == "json_schema":
                    assert expected == found, name
                else:  # after what the server rejected
                    assert set(expected) >= set(found), (name, method)
                    assert bool(expected) == bool(found), (name, method)


def test_named_form_is_sent_anywhere() -> None:
    """It wins over the type of endpoint and over reasoning; "off" sends nothing."""
    with scripted_server(lambda _: OBJECT) as server:
        for path, api in (("", "serverless"), ("/v1", "auto"), ("", "managed")):
            for form in FORMS:
                settings = {"api": api, "constrained_decoding": form, "model": "Phi-4-reasoning"}
                model = model_of(server, path, **settings)
                model.with_structured_output(City).invoke("A city?")
                assert (form,) == sent(server)[-1]
                extra = server.headers[-1].get("extra-parameters")
                assert ("pass-through" if form != "response_format" else None) == extra
        model_of(server, constrained_decoding="off").with_structured_output(City).invoke("A city?")
        assert () == sent(server)[-1]


def test_models_that_reason_first_are_not_constrained() -> None:
    """The constraint would forbid the reasoning."""
    rows = (
        ("Phi-4-reasoning", "auto", ()),
        ("Phi-4-reasoning", "on", ()),
        ("Phi-4-reasoning", "off", ("response_format",)),
        ("Phi-4", "auto", ("response_format",)),
        ("Phi-4", "off", ("response_format",)),
    )
    with scripted_server(lambda _: OBJECT) as server:
        for name, reasoning, expected in rows:
            model = model_of(server, model=name, reasoning=reasoning)
            model.with_structured_output(City).invoke("A city?")
            assert expected == sent(server)[-1], (name, reasoning)


def test_schema_is_on_the_wire_and_in_the_prompt() -> None:
    """In each form as its servers read it, next to the schema that the model sees."""
    with scripted_server(lambda _: OBJECT) as server:
        model = model_of(server)
        raw = model.with_structured_output(City, include_raw=True).invoke("A city?")["raw"]
        managed(server).with_structured_output(City).invoke("A city?")
        own, compute = server.payloads

        schema = schema_of(own)
        assert {"city": {"type": "string"}} == schema["properties"]
        assert own["response_format"]["type"] == "json_schema"
        assert own["response_format"]["json_schema"]["strict"] is True
        assert {"json": schema} == compute["structured_outputs"]
        assert schema == compute["guided_json"]
        assert "pass-through" == server.headers[1]["extra-parameters"]
        for payload in (own, compute):
            assert '"city"' in payload["messages"][0]["content"]
        assert "response_format" == raw.response_metadata["constrained_by"]


def test_control_tokens_in_schemas_are_escaped() -> None:
    """As in the prompt; reading the answer restores them."""
    schema = {"title": "Tag", "type": "object", "properties": {"tag": {"enum": ["<|end|>", "b"]}}}
    with scripted_server(lambda _: '{"tag": "< |end|>"}') as server:
        found = model_of(server).with_structured_output(schema).invoke("A tag?")
        assert {"tag": "<|end|>"} == found
        tag = schema_of(server.payloads[0])["properties"]["tag"]
        assert ["< |end|>", "b"] == tag["enum"]


def test_json_mode_constrains_to_the_schema() -> None:
    """Where the call has none, to any object."""
    with scripted_server(lambda _: OBJECT) as server:
        model = model_of(server)
        model.with_structured_output(City, method="json_mode").invoke("JSON: a city?")
        assert ["city"] == list(schema_of(server.payloads[-1])["properties"])
        assert "city" not in server.payloads[-1]["messages"][0]["content"]
        model.bind(response_format={"type": "json_object"}).invoke("JSON: a city?")
        assert {"type": "json_object"} == server.payloads[-1]["response_format"]


def test_format_of_a_call_may_be_a_schema() -> None:
    """A class, as with langchain-openai, or a JSON schema; in `invoke` and `bind`."""
    with scripted_server(lambda _: OBJECT) as server:
        model = model_of(server)
        for bound in (
            model.bind(response_format=City),
            model.bind(response_format=City.model_json_schema()),
            model.bind_tools([], response_format=City),
        ):
            assert {"city": "Ulm"} == json.loads(bound.invoke("A city?").text)
            assert ["city"] == list(schema_of(server.payloads[-1])["properties"])


def test_own_constraints_of_users_win() -> None:
    """What `model_extras` sets is sent as it is, and nothing is added."""
    for extras in ({"guided_choice": ["a"]}, {"response_format": {"type": "text"}}):
        with scripted_server(lambda _: OBJECT) as server:
            model = managed(server, model_extras=extras)
            model.with_structured_output(City).invoke("A city?")
            (payload,) = server.payloads
            assert extras.items() <= payload.items()
            assert not (set(FORMS) - extras.keys()) & payload.keys()
    with scripted_server(lambda _: OBJECT) as server:
        for header in ("error", "drop"):
            managed(server, extra_parameters=header).with_structured_output(City).invoke("A city?")
            assert () == sent(server)[-1]


def test_free_text_is_never_constrained() -> None:
    """Neither a plain call nor one with tools that the model may call."""
    with scripted_server(lambda _: "Hello") as server:
        model = model_of(server)
        for bound in (
            model,
            model.bind_tools([weather]),
            model.bind_tools([weather], tool_choice="none"),
        ):
            answer = bound.invoke("Hello?")
            assert "constrained_by" not in answer.response_metadata
        assert [(), (), ()] == sent(server)


# -- required calls and agents -------------------------------------------------------------------


async def test_required_calls_are_constrained() -> None:
    """However they are required, also in streams, which show a call and no text."""
    choices = ("any", "required", True, "weather", {"function": {"name": "weather"}})
    with scripted_server(lambda _: CALL) as server:
        for choice in choices:
            bound = model_of(server).bind_tools([weather, time_in], tool_choice=choice)
            for mode in CALL_MODES:
                answer = await call_model(bound, mode, "Weather in Ulm?")

                assert [("weather", {"city": "Ulm"})] == [
                    (call["name"], call["args"]) for call in answer.tool_calls
                ]
                assert "" == answer.text
                assert "response_format" == answer.response_metadata["constrained_by"]
            schema = json.dumps(schema_of(server.payloads[-1]))
            assert '"weather"' in schema
            is_any = choice in ("any", "required", True)
            assert ('"time_in"' in schema) is is_any, choice


def test_streamed_call_comes_as_tool_call_chunks() -> None:
    """No chunk shows its JSON as text."""
    with scripted_server(lambda _: CALL) as server:
        bound = model_of(server).bind_tools([weather], tool_choice="any")
        chunks = list(bound.stream("Weather in Ulm?"))
        assert all(chunk.text == "" for chunk in chunks)
        (piece,) = [piece for chunk in chunks for piece in chunk.tool_call_chunks]
        assert ("weather", '{"city":"Ulm"}') == (piece["name"], piece["args"])


def test_models_trained_on_tools_write_arrays() -> None:
    """As their prompt requests them: one or several calls, but one where that is required."""
    with scripted_server(lambda _: f"[{CALL}]") as server:
        model = model_of(server, model="Phi-4-mini-instruct", tool_calling="prompted")
        for parallel, root_type in ((None, "array"), (True, "array"), (False, "object")):
            bound = model.bind_tools([weather], tool_choice="any", parallel_tool_calls=parallel)
            assert "weather" == bound.invoke("Weather?").tool_calls[0]["name"]
            assert root_type == schema_of(server.payloads[-1])["type"]


def test_agents_are_constrained_by_their_format() -> None:
    """A ProviderStrategy to its schema or a call of a tool, a ToolStrategy to a call."""
    answers = {"provider": [CALL, OBJECT], "tool": [CALL, '{"name": "City", "arguments": {}}']}
    answers["tool"][1] = f'{{"name": "City", "arguments": {OBJECT}}}'
    for name, strategy in (("provider", ProviderStrategy), ("tool", ToolStrategy)):
        remaining = list(answers[name])
        with scripted_server(lambda _, left=remaining: left.pop(0)) as server:
            agent = create_agent(model_of(server), [weather], response_format=strategy(City))
            state = agent.invoke({"messages": [("user", "Weather in Ulm?")]})

            assert City(city="Ulm") == state["structured_response"]
            for payload in server.payloads:
                branches = schema_of(payload)["anyOf"]
                names = [b["properties"].get("name", {}).get("const") for b in branches]
                assert ["weather", "City" if name == "tool" else None] == names


def test_corrections_are_constrained_too() -> None:
    """What a grammar cannot express is found by validation."""
    remaining = ['{"town": 1}', '{"city": []}', OBJECT]
    with scripted_server(lambda _: remaining.pop(0)) as server:
        model = model_of(server, max_corrections=2)
        assert City(city="Ulm") == model.with_structured_output(City).invoke("A city?")
        assert [("response_format",)] * len(server.payloads) == sent(server)
        assert 3 == len(server.payloads)


def test_ignored_constraint_is_not_reported() -> None:
    """A server that accepts and ignores the parameter answers what is found by extraction."""
    for text, is_reported in ((f"Sure!\n```json\n{OBJECT}\n```", False), (OBJECT, True)):
        with scripted_server(lambda _, text=text: text) as server:
            structured = model_of(server).with_structured_output(City, include_raw=True)
            found = structured.invoke("A city?")
            assert City(city="Ulm") == found["parsed"]
            assert ("constrained_by" in found["raw"].response_metadata) is is_reported
            assert 1 == len(server.payloads)


# -- negotiation ---------------------------------------------------------------------------------

UNKNOWN_FORMAT = [
    {"error": {"message": "response_format is not supported by this model."}},
    {"detail": [{"loc": ["body", "response_format"], "msg": "must be either 'text' or"}]},
    {"error": "json_schema is not supported"},
    {"error": {"message": "Bad request"}},
    "Bad request",
]


async def test_rejected_parameter_costs_one_request() -> None:
    """Per process: nothing is lost, and later calls leave it out. In all calling modes."""
    for error in UNKNOWN_FORMAT:
        for mode in CALL_MODES:
            with scripted_server(
                rejecting(lambda f, e=error: e if f else None, text=CALL)
            ) as server:
                for _ in range(2):
                    bound = model_of(server).bind_tools([weather], tool_choice="any")
                    answer = await call_model(bound, mode, "Weather?")
                    assert "weather" == answer.tool_calls[0]["name"]
                    assert "constrained_by" not in answer.response_metadata
                assert [("response_format",), (), ()] == sent(server), error


def test_other_statuses_of_rejections() -> None:
    """422, a wrapped 424, and llama-cpp-python's 500, which names the parameter."""
    body = {"error": {"message": "[{'loc': ('body', 'response_format', 'type')}]"}}
    for status in (422, 500):
        with scripted_server(lambda p, s=status: (s, body) if forms_of(p) else OBJECT) as server:
            model_of(server).with_structured_output(City).invoke("A city?")
            assert [("response_format",), ()] == sent(server)


def test_other_errors_are_errors() -> None:
    """Nothing is concluded from them."""
    of_temperature = {"error": {"message": "temperature is too high", "param": "temperature"}}
    rows: tuple[tuple[int, Any, int], ...] = ((400, of_temperature, 1), (400, "Bad request", 2))
    for status, body, requests in (*rows, (401, "No", 1), (500, "Oops", 1)):
        healthy: list[bool] = []
        answer: Answer = lambda _, s=status, b=body, h=healthy: OBJECT if h else (s, b)  # noqa: E731
        with scripted_server(answer) as server:
            structured = model_of(server).with_structured_output(City)
            with pytest.raises(Exception, match=str(status)):
                structured.invoke("A city?")
            assert requests == len(server.payloads), body
            healthy.append(True)
            structured.invoke("A city?")
            assert ("response_format",) == sent(server)[-1], body


SO, GJ = ("structured_outputs",), ("guided_json",)
MANAGED: dict[str, tuple[Callable[[tuple[str, ...]], Any], list[tuple[str, ...]]]] = {
    "both are accepted": (lambda _: None, [BOTH]),
    "old vLLM names the new one": (
        lambda f: NAMED_EXTRA % "structured_outputs" if SO[0] in f else None,
        [BOTH, GJ],
    ),
    "a server names the old one": (
        lambda f: NAMED_EXTRA % "guided_json" if GJ[0] in f else None,
        [BOTH, SO],
    ),
    "a gateway names both": (
        lambda f: {"detail": f"Extra parameters {list(f)} are not allowed"} if f else None,
        [BOTH, ()],
    ),
    "unnamed, new one works": (lambda f: "Bad" if GJ[0] in f else None, [BOTH, SO]),
    "unnamed, old one works": (lambda f: "Bad" if SO[0] in f else None, [BOTH, SO, GJ]),
    "unnamed, none works": (lambda f: "Bad" if f else None, [BOTH, SO, GJ, ()]),
    "named one after the other": (
        lambda f: NAMED_EXTRA % f[-1] if f else None,
        [BOTH, GJ, ()],
    ),
}


@pytest.mark.parametrize("case", MANAGED)
async def test_managed_compute_is_negotiated(case: str) -> None:
    """Until one form is accepted; from then on, only that one is sent."""
    error, expected = MANAGED[case]
    for mode in CALL_MODES:
        with scripted_server(rejecting(error, text=CALL)) as server:
            for _ in range(2):
                bound = managed(server).bind_tools([weather], tool_choice="any")
                answer = await call_model(bound, mode, "Weather?")
                assert "weather" == answer.tool_calls[0]["name"]
                found = answer.response_metadata.get("constrained_by", "")
                assert set(expected[-1]) == set(filter(None, found.split(",")))
            assert [*expected, expected[-1]] == sent(server)


def test_emulated_images_of_managed_compute() -> None:
    """Each takes the form of its vLLM, with its own errors."""
    rows = {"managed-2024-06": GJ, "managed-2025-01": GJ, "managed-2026-07": BOTH}
    for server_type, expected in rows.items():
        with Emulator(MINI, server_type=server_type) as phi:  # type: ignore[arg-type]
            model = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, api="managed")
            structured = model.with_structured_output(City, include_raw=True)
            for number in (2 if expected == GJ else 1, 1):
                phi.script(*["It is Ulm, I think."] * 3)
                first = len(phi.requests)
                found = structured.invoke("A city?")

                assert isinstance(found["parsed"], City), server_type
                assert number == len(phi.requests) - first, server_type
                names = found["raw"].response_metadata["constrained_by"].split(",")
                assert set(expected) == set(names)


async def test_masked_errors_are_rejections() -> None:
    """Image 0.1.8 answers an empty, filtered choice. A filter that persists is an error."""
    filtered = {"message": None, "finish_reason": "content_filter"}
    for mode in CALL_MODES:
        with scripted_server(lambda p: filtered if forms_of(p) else CALL) as server:
            bound = managed(server).bind_tools([weather], tool_choice="any")
            for _ in range(2):
                answer = await call_model(bound, mode, "Weather?")
                assert "weather" == answer.tool_calls[0]["name"]
            assert [BOTH, SO, GJ, (), ()] == sent(server)
        with scripted_server(lambda _: filtered) as server:
            bound = managed(server).bind_tools([weather], tool_choice="any")
            for _ in range(2):
                with pytest.raises(ContentFilterError):
                    await call_model(bound, mode, "Weather?")
            assert [BOTH, SO, GJ, ()] * 2 == sent(server)


GRAMMAR_ERRORS = (
    {"error": {"message": "Automatic parser generation failed: JSON schema error at #: no type"}},
    {"error": {"code": 400, "message": "Failed to initialize samplers: failed to parse grammar"}},
    {"error": {"message": "JSON schema conversion failed:\nUnsupported pattern"}},
    {"message": "The provided JSON schema contains features not supported by xgrammar."},
)


def test_schema_that_does_not_compile_concerns_itself_only() -> None:
    """It is sent once; other schemas are constrained as before."""

    class Town(BaseModel):
        """A town."""

        town: str

    for error in GRAMMAR_ERRORS:

        def answer(payload: Json, error: Any = error) -> Any:
            is_city = "city" in json.dumps(payload.get("response_format", {}))
            return (400, error) if is_city else '{"city": "Ulm", "town": "Ulm"}'

        with scripted_server(answer) as server:
            model = model_of(server)
            for schema in (City, City, Town, City):
                model.with_structured_output(schema).invoke("Where?")
            form = ("response_format",)
            assert [form, (), (), form, ()] == sent(server), error


def test_rejections_belong_to_one_deployment() -> None:
    """Another model of the same server is asked again."""
    with scripted_server(rejecting(lambda f: "response_format" if f else None)) as server:
        for name in (MINI, "Phi-4", MINI):
            model_of(server, model=name).with_structured_output(City).invoke("A city?")
        form = ("response_format",)
        assert [form, (), form, (), ()] == sent(server)


def test_rejections_survive_copies_and_pickles() -> None:
    """They belong to the process, and no pickle holds them."""
    with scripted_server(rejecting(lambda f: "response_format" if f else None)) as server:
        model = model_of(server)
        model.with_structured_output(City).invoke("A city?")
        for copy in (model.model_copy(), pickle.loads(pickle.dumps(model))):
            copy.with_structured_output(City).invoke("A city?")
        assert [("response_format",), (), (), ()] == sent(server)
        assert b"rejected" not in pickle.dumps(model)


def _invoke_in_child(model: ChatAzurePhi3) -> None:
    model.with_structured_output(City).invoke("A city?")


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forked_processes_remember_rejections() -> None:
    """A child starts with what its parent knows, and can learn by itself."""
    with scripted_server(rejecting(lambda f: "response_format" if f else None)) as server:
        known, unknown = model_of(server), model_of(server, model="Phi-4")
        known.with_structured_output(City).invoke("A city?")
        context = multiprocessing.get_context("fork")
        for model in (known, unknown):
            child = context.Process(target=_invoke_in_child, args=(model,))
            child.start()
            child.join(20)
            assert 0 == child.exitcode
        form = ("response_format",)
        assert [form, (), (), form, ()] == sent(server)


def test_concurrent_calls_do_not_each_pay() -> None:
    """At most those that are in flight when the first rejection arrives."""
    with scripted_server(rejecting(lambda f: "response_format" if f else None)) as server:
        structured = model_of(server).with_structured_output(City)
        structured.batch(["A city?"] * 24, {"max_concurrency": 4})
        rejected = sum(1 for forms in sent(server) if forms)
        assert 1 <= rejected <= 4
        assert 24 + rejected == len(server.payloads)

        barrier = Barrier(8)
        other = model_of(server, model="Phi-4").with_structured_output(City)
        together = RunnableLambda(lambda text: (barrier.wait(10), other.invoke(text))[1])
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(together.invoke, ["A city?"] * 8))
        assert [City(city="Ulm")] * 8 == found


async def test_rejection_within_a_stream() -> None:
    """Some servers report their errors as the first event of a stream."""
    error = {"error": {"message": "failed to parse grammar", "code": 400}}

    with scripted_server(lambda _: CALL) as server:

        def answer(payload: Json) -> Any:
            return (200, error) if forms_of(payload) else CALL

        server.answer = answer
        for mode in STREAM_MODES:
            bound = model_of(server).bind_tools([weather], tool_choice="any")
            answer_message = await call_model(bound, mode, "Weather?")
            assert "weather" == answer_message.tool_calls[0]["name"]
        assert [("response_format",), (), ()] == sent(server)


def test_explicit_form_is_negotiated_too(caplog: pytest.LogCaptureFixture) -> None:
    """The call succeeds, and a warning in the log says what happened."""
    with scripted_server(rejecting(lambda f: NAMED_EXTRA % f[0] if f else None)) as server:
        model = model_of(server, constrained_decoding="guided_json")
        for _ in range(2):
            model.with_structured_output(City).invoke("A city?")
        assert [("guided_json",), (), ()] == sent(server)
        (record,) = [r for r in caplog.records if "rejects" in r.message]
        assert "guided_json" in record.message


def test_failed_attempts_raise_the_servers_error() -> None:
    """If the request fails without the constraint as well, that is the error."""
    with scripted_server(lambda _: (400, "max_tokens is wrong")) as server:
        with pytest.raises(BadRequestError, match="max_tokens is wrong"):
            managed(server).bind_tools([weather], tool_choice="any").invoke("Weather?")
        assert [BOTH, SO, GJ, ()] == sent(server)


def test_truncated_objects_are_constrained_and_rejected() -> None:
    """A cut object is never completed; the metadata names the constraint all the same."""
    cut = {"message": {"content": '{"city": "U'}, "finish_reason": "length"}
    with scripted_server(lambda _: cut) as server:
        structured = model_of(server).with_structured_output(City, include_raw=True)
        found = structured.invoke("A city?")
        assert isinstance(found["parsing_error"], OutputParserException)
        assert "max_tokens" in str(found["parsing_error"])
        assert "response_format" == found["raw"].response_metadata["constrained_by"]


async def test_objects_that_a_stop_sequence_cuts_are_rejected() -> None:
    """Also where what is left fits the schema; calls as well, in every calling mode."""

    class Visit(BaseModel):
        """A visit to a city."""

        city: str
        days: int | None = None

    cut = '{"city": "Ulm"'
    with scripted_server(lambda _: cut) as server:
        model = model_of(server, max_corrections=0)
        for structured in (
            model.with_structured_output(Visit, stop=[","]),
            model.with_structured_output(Visit).bind(stop=[","]),
            model.model_copy(update={"stop": [","]}).with_structured_output(Visit),
        ):
            with pytest.raises(OutputParserException, match="A stop sequence cut off"):
                structured.invoke("A visit?")
        assert Visit(city="Ulm") == model.with_structured_output(Visit).invoke("A visit?")

    with scripted_server(lambda _: f'{{"name": "Visit", "arguments": {cut}') as server:
        bound = model_of(server, max_corrections=0).bind_tools([Visit], tool_choice="any")
        for mode in CALL_MODES:
            stopped = await call_model(bound, mode, "A visit?", stop=[","])
            assert [] == stopped.tool_calls, mode
            assert 1 == len((await call_model(bound, mode, "A visit?")).tool_calls), mode
