"""Measures the structure of the client, and compares it with the budgets of the design.

Run it from the root of the repository (`make structure`):

    python -m tests.structure

`MEASURES` defines each number. "Own code" is the package without the emulator.
"""

import ast
import json
import re
import statistics
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import httpx
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.outputs import ChatGeneration, ChatResult

import langchain_azure_phi3
from langchain_azure_phi3 import ChatAzurePhi3
from tests.http_server import json_server

PACKAGE = Path(langchain_azure_phi3.__file__).parent
EMULATOR = PACKAGE / "emulator"
MODEL = "Phi-4-mini-instruct"

_MESSAGE = {"role": "assistant", "content": "About 7,000."}
_USAGE = {"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17}
_RESPONSE = json.dumps(
    {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": MODEL,
        "choices": [{"index": 0, "finish_reason": "stop", "message": _MESSAGE}],
        "usage": _USAGE,
    }
).encode()


def conversation(length: int) -> list[BaseMessage]:
    """A system message, and questions and answers."""
    turns = (
        HumanMessage(f"Question {n}?") if n % 2 == 0 else AIMessage("Yes.") for n in range(length)
    )
    return [SystemMessage("Be brief."), *turns]


def is_own(code: CodeType) -> bool:
    """Whether code belongs to the client."""
    path = Path(code.co_filename)
    return path.is_relative_to(PACKAGE) and not path.is_relative_to(EMULATOR)


# -- one invoke ----------------------------------------------------------------------------------


@contextmanager
def profiling(profile: Callable[[FrameType, str, Any], object]) -> Iterator[None]:
    """Profile this thread."""
    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(before)


@contextmanager
def tracing(trace: Callable[[FrameType, str, Any], Any]) -> Iterator[None]:
    """Trace this thread, and let a tool for coverage continue afterwards."""
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


@contextmanager
def local_model() -> Iterator[ChatAzurePhi3]:
    """A model on a local server, with an open connection."""
    with json_server(lambda method, path: _RESPONSE) as url:
        model = ChatAzurePhi3(endpoint=url, credential="key", model=MODEL)
        for _ in range(2):
            model.invoke("Hi")
        yield model
        model.close()


@cache
def called_functions() -> Counter[CodeType]:
    """Calls of each function of own code in the third `invoke`, with a short conversation."""
    counts: Counter[CodeType] = Counter()

    def profile(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and is_own(frame.f_code):
            counts[frame.f_code] += 1

    messages = conversation(1)
    with local_model() as model, profiling(profile):
        model.invoke(messages)
    return counts


@cache
def names_of_conversation() -> frozenset[str]:
    """Names of the parameters and local variables that hold the conversation in one `invoke`.

    A variable holds it if it is a list or tuple of at least as many messages, be they LangChain's
    or dicts with a role, or a dict whose "messages" are such a list. All frames of own code are
    searched when they return.
    """
    names: set[str] = set()
    messages = conversation(20)

    def is_conversation(value: Any) -> bool:
        if isinstance(value, dict):
            return "messages" in value and is_conversation(value["messages"])
        if not isinstance(value, list | tuple) or len(value) < len(messages):
            return False
        return all(
            isinstance(v, BaseMessage) or (isinstance(v, dict) and "role" in v) for v in value
        )

    def is_wire_message(value: Any) -> bool:
        return isinstance(value, dict) and "role" in value

    def profile(frame: FrameType, event: str, _: Any) -> None:
        if event == "return" and is_own(frame.f_code):
            names.update(n for n, value in frame.f_locals.items() if is_conversation(value))

    with local_model() as model, profiling(profile):
        model.invoke(messages)
    return frozenset(names)


def files() -> int:
    """Files of own code that one `invoke` runs."""
    return len({code.co_filename for code in called_functions()})


def functions() -> int:
    """Functions of own code that one `invoke` runs."""
    return len(called_functions())


def calls() -> int:
    """Calls of own functions in one `invoke`, with each resumption of a generator."""
    return sum(called_functions().values())


def conversation_names() -> int:
    """Names of variables that hold the conversation in one `invoke`."""
    return len(names_of_conversation())


# -- passes over the conversation ----------------------------------------------------------------


class _LoopTrace:
    """How often each line runs, and how often each function starts, in one `invoke`."""

    def __init__(self, length: int) -> None:
        self.lines: Counter[tuple[CodeType, int]] = Counter()
        self.calls_at: Counter[tuple[CodeType, int]] = Counter()  # calls of own code, by call site
        self._frames: defaultdict[CodeType, dict[int, FrameType]] = defaultdict(dict)
        messages = conversation(length)
        with local_model() as model, tracing(self._trace):
            model.invoke(messages)

    def starts(self, code: CodeType) -> int:
        return len(self._frames[code])

    def _trace(self, frame: FrameType, event: str, _: Any) -> Any:
        code = frame.f_code
        if not is_own(code):
            return None
        if event == "line":
            self.lines[code, frame.f_lineno] += 1
        # A generator that resumes is called again, with the same frame.
        elif event == "call" and id(frame) not in self._frames[code]:
            self._frames[code][id(frame)] = frame
            if frame.f_back is not None and is_own(frame.f_back.f_code):
                self.calls_at[frame.f_back.f_code, frame.f_back.f_lineno] += 1
        return self._trace


_INPUT_HOOK = "_convert_input"


@cache
def pass_locations() -> tuple[str, ...]:
    """Where own code iterates over the conversation.

    A pass is a loop or comprehension that runs once more for each message that is added, in a
    function that does not. It is found by comparing the executed lines of a short and a long
    conversation. `map` over own functions counts too; loops within C functions do not.
    LangChain's hook that converts a call's input is not counted. It runs before there is a request
    and looks for images, which LangChain's tracing would refuse or copy.
    """
    short, long = _LoopTrace(20), _LoopTrace(120)

    def grows(counts: str, key: tuple[CodeType, int]) -> bool:
        code = key[0]
        if _INPUT_HOOK in code.co_qualname:
            return False
        more = getattr(long, counts)[key] - getattr(short, counts)[key]
        return more >= 95 and long.starts(code) == short.starts(code)

    found = []
    for path in sorted({code.co_filename for code, _ in long.lines}):
        looping = {k[1] for k in long.lines if k[0].co_filename == path and grows("lines", k)}
        calling = {k[1] for k in long.calls_at if k[0].co_filename == path and grows("calls_at", k)}
        loops = list(_outermost_loops(ast.parse(Path(path).read_text(encoding="utf-8")), looping))
        inside = {line for loop in loops for line in range(loop.lineno, loop.end_lineno + 1)}
        lines = sorted({loop.lineno for loop in loops} | (calling - inside))
        found += [f"{Path(path).relative_to(PACKAGE)}:{line}" for line in lines]
    return tuple(found)


_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def _outermost_loops(node: ast.AST, looping: set[int]) -> Iterator[Any]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.For | ast.While):
            is_pass = child.lineno in looping
        elif isinstance(child, _COMPREHENSIONS):
            is_pass = not looping.isdisjoint(range(child.lineno, (child.end_lineno or 0) + 1))
        else:
            is_pass = False
        if is_pass:
            yield child
        else:
            yield from _outermost_loops(child, looping)


def passes() -> int:
    """Passes over the conversation in one `invoke`; see `pass_locations`."""
    return len(pass_locations())


# -- time ----------------------------------------------------------------------------------------


class _Baseline(BaseChatModel):
    """A chat model that does nothing, to measure LangChain core."""

    @property
    def _llm_type(self) -> str:
        return "baseline"

    def _generate(self, *_: Any, **__: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage("Yes."))])


def own_microseconds(rounds: int = 1_000) -> float:
    """Microseconds of one `invoke` beyond LangChain core and httpx; medians of alternating calls.

    The model has a client whose transport answers in memory. Subtracted are the `invoke` of a chat
    model that does nothing, and the same request sent with the same client.
    """
    headers = {"content-type": "application/json", "x-request-id": "1"}
    transport = httpx.MockTransport(
        lambda _: httpx.Response(200, headers=headers, content=_RESPONSE)
    )
    messages = conversation(1)
    url = "http://localhost/v1"
    with httpx.Client(transport=transport) as client:
        model = ChatAzurePhi3(endpoint=url, credential="key", model=MODEL, http_client=client)
        baseline = _Baseline()
        body = json.dumps({"messages": [{"role": "user", "content": "Question 0?"}]}).encode()

        def send() -> None:
            client.post(f"{url}/chat/completions", content=body, headers=headers)

        actions: tuple[Callable[[], object], ...] = (
            lambda: model.invoke(messages),
            lambda: baseline.invoke(messages),
            send,
        )
        times: list[list[float]] = [[], [], []]
        for _ in range(rounds):
            for action, measured in zip(actions, times, strict=True):
                start = time.perf_counter()
                action()
                measured.append(time.perf_counter() - start)
    invoke, core, http = (statistics.median(measured) * 1e6 for measured in times)
    return invoke - core - http


# -- source --------------------------------------------------------------------------------------


@cache
def sources(root: Path = PACKAGE) -> dict[Path, str]:
    """Python files below a folder."""
    return {path: path.read_text(encoding="utf-8") for path in sorted(root.rglob("*.py"))}


def client_sources() -> dict[Path, str]:
    """Files of own code."""
    return {path: text for path, text in sources().items() if not path.is_relative_to(EMULATOR)}


def client_lines() -> int:
    """Lines of own code, with docstrings, comments and blank lines."""
    return sum(text.count("\n") for text in client_sources().values())


def emulator_lines() -> int:
    """Lines of the emulator, likewise."""
    return sum(
        text.count("\n") for path, text in sources().items() if path.is_relative_to(EMULATOR)
    )


def json_definitions() -> int:
    """Definitions of `Json = dict[str, Any]` in own code."""
    pattern = re.compile(r"^(?:type )?Json\b.*= dict\[str, Any\]", re.MULTILINE)
    return sum(len(pattern.findall(text)) for text in client_sources().values())


@cache
def attributes_by_class() -> dict[str, frozenset[str]]:
    """Attributes that the methods of each class of own code assign on `self`."""
    found: dict[str, frozenset[str]] = {}
    for path, text in client_sources().items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef):
                name = f"{path.relative_to(PACKAGE)}:{node.name}"
                found[name] = frozenset(_assigned_on_self(node))
    return found


def _assigned_on_self(node: ast.ClassDef) -> Iterator[str]:
    for part in ast.walk(node):
        if (
            isinstance(part, ast.Attribute)
            and isinstance(part.ctx, ast.Store)
            and isinstance(part.value, ast.Name)
            and part.value.id == "self"
        ):
            yield part.attr


def most_attributes() -> int:
    """Attributes of the class that assigns the most on `self`."""
    return max(map(len, attributes_by_class().values()))


# -- budgets -------------------------------------------------------------------------------------

MEASURES: dict[str, tuple[Callable[[], float], int]] = {
    "files in one invoke": (files, 10),
    "functions in one invoke": (functions, 70),
    "calls in one invoke": (calls, 103),
    "passes over the conversation": (passes, 1),
    "names of the conversation": (conversation_names, 12),
    "attributes of the largest class": (most_attributes, 9),
    "lines of the client": (client_lines, 11_000),
    "lines of the emulator": (emulator_lines, 4_718),
    "definitions of Json": (json_definitions, 1),
}
"""Each measure that does not depend on the machine's speed, and its budget."""

OWN_MICROSECONDS = 120
"""The budget of `own_microseconds`."""


def main() -> None:
    """Print the measures, the budgets, and details of the exceeded ones."""
    print(f"{'':<42}{'measured':>9}{'budget':>9}")
    for name, (measure, budget) in MEASURES.items():
        _print_row(name, measure(), budget)
    _print_row("own microseconds of one invoke", own_microseconds(), OWN_MICROSECONDS)
    largest = max(attributes_by_class().items(), key=lambda item: len(item[1]))
    run = called_functions()
    print(
        "\nfiles:", *sorted(str(Path(f).relative_to(PACKAGE)) for f in {c.co_filename for c in run})
    )
    print("passes:", *pass_locations())
    print("names:", *sorted(names_of_conversation()))
    print("largest class:", largest[0], *sorted(largest[1]))


def _print_row(name: str, measured: float, budget: int) -> None:
    note = "" if measured <= budget else "  exceeded"
    print(f"{name:<42}{measured:>9,.0f}{budget:>9,}{note}")


if __name__ == "__main__":
    main()
