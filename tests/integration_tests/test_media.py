"""Images and audio through the public API: what the server receives, and what is refused."""

import asyncio
import base64
import re
import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from PIL import Image

from langchain_azure_phi3 import (
    BadRequestError,
    ChatAzurePhi3,
    InvalidInputError,
    image_block,
    images,
)
from langchain_azure_phi3.emulator import Emulator
from tests.benchmarks import image_memory
from tests.integration_tests.call_modes import CALL_MODES, call_model
from tests.raw_server import answering
from tests.unit_tests.images import (
    WAV,
    base64_of,
    bmp_of,
    data_url,
    gif_of,
    jpeg_of,
    png_of,
    tiff_of,
)

PNG, OTHER = png_of(640, 480), png_of(100, 100)
URL = "https://example.com/chart.png"
WIRE = {"type": "image_url", "image_url": {"url": data_url(PNG, "image/png")}}
TEXT = {"type": "text", "text": "What is this?"}
MODELS = (
    "Phi-3-vision-128k-instruct",
    "Phi-3.5-vision-instruct",
    "Phi-4-multimodal-instruct",
    "Phi-4",
)


@pytest.fixture
def phi() -> Iterator[Emulator]:
    """A deployment for one image, for several, for images and audio, and for text only."""
    with Emulator(*MODELS) as emulator:
        yield emulator


@pytest.fixture
def model(phi: Emulator) -> ChatAzurePhi3:
    """Phi-3-vision; a call may name another model."""
    return ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, model=MODELS[0])


def image_file(width: int, height: int, file_format: str = "PNG") -> bytes:
    """A complete image, for Pillow to work on."""
    file = BytesIO()
    Image.new("RGB", (width, height), "white").save(file, file_format)
    return file.getvalue()


def sent_content(phi: Emulator, message: int = -1) -> Any:
    """The content of a message of the last request."""
    return phi.requests[-1].json["messages"][message]["content"]


# -- forms -------------------------------------------------------------------------------------

FORMS: tuple[dict[str, Any], ...] = (
    {"type": "image_url", "image_url": {"url": data_url(PNG, "image/jpg")}},  # OpenAI
    {"type": "image_url", "image_url": data_url(PNG, "image/png")},
    {"type": "image", "base64": base64_of(PNG), "mime_type": "image/png"},  # LangChain v1
    {
        "type": "image",
        "source_type": "base64",
        "mime_type": "image/png",  # LangChain v0
        "data": base64_of(PNG),
    },
    {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": base64_of(PNG)},
    },
    image_block(PNG),
)
ANTHROPIC_FORM = FORMS[4]


async def test_all_forms_of_images_are_sent_alike(phi: Emulator, model: ChatAzurePhi3) -> None:
    """And seen by the server: 640 x 480."""
    for block in FORMS:
        for mode in CALL_MODES:
            answer = await call_model(model, mode, [HumanMessage([TEXT, block])])

            assert [TEXT, WIRE] == sent_content(phi)
            assert "640x480" in answer.text


def test_all_image_formats_are_sent(phi: Emulator, model: ChatAzurePhi3) -> None:
    """With their own MIME types, as Pillow writes them."""
    for name in ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"):
        answer = model.invoke([HumanMessage([image_block(image_file(30, 20, name))])])

        assert "30x20" in answer.text
        url = sent_content(phi)[0]["image_url"]["url"]
        assert url.startswith(f"data:image/{name.lower()};base64,")


def test_image_block_accepts_all_sources(model: ChatAzurePhi3, tmp_path: Path) -> None:
    """Paths, open files and PIL images; the server sees their size."""
    path = tmp_path / "chart.png"
    path.write_bytes(image_file(30, 20))
    with path.open("rb") as file:
        blocks = [image_block(path), image_block(str(path)), image_block(file)]
    blocks.append(image_block(Image.new("L", (30, 20))))

    for block in blocks:
        assert "30x20" in model.invoke([HumanMessage([block])]).text


def test_urls_are_sent_and_never_fetched(phi: Emulator, model: ChatAzurePhi3) -> None:
    """Only the server knows what they contain, so `max_image_side` has no effect."""
    small = model.model_copy(update={"max_image_side": 10})
    blocks: tuple[dict[str, Any], ...] = (
        {"type": "image_url", "image_url": URL},
        {"type": "image", "url": URL},
        {"type": "image", "source_type": "url", "url": URL},
        {"type": "image", "source": {"type": "url", "url": URL}},
    )
    for block in blocks:
        small.invoke([HumanMessage([TEXT, block])])

        assert [TEXT, {"type": "image_url", "image_url": {"url": URL}}] == sent_content(phi)


async def test_urls_are_not_visited(phi: Emulator, model: ChatAzurePhi3) -> None:
    """Neither to send, to resize or to count them, nor where a tool returned them."""
    small = model.model_copy(update={"max_image_side": 10, "fit_max_tokens": True})
    with answering(lambda *_: None) as server:
        block = {"type": "image", "url": f"{server.url}/chart.png"}
        call = {"name": "draw", "args": {}, "id": "c1", "type": "tool_call"}
        called = [AIMessage("", tool_calls=[call]), ToolMessage([block], tool_call_id="c1")]
        for messages in ([HumanMessage([TEXT, block])], [HumanMessage("Draw."), *called]):
            for mode in CALL_MODES:
                await call_model(small, mode, messages)
            assert small.get_num_tokens_from_messages(messages) > 0
        assert [] == server.accepted


def test_audio_is_sent_to_multimodal_models(phi: Emulator, model: ChatAzurePhi3) -> None:
    """Next to an image and a text, in their order."""
    wire = {"type": "input_audio", "input_audio": {"data": base64_of(WAV), "format": "wav"}}
    url = {"type": "audio_url", "audio_url": {"url": URL}}
    cases = (
        ({"type": "audio", "base64": base64_of(WAV), "mime_type": "audio/wav"}, wire),
        ({"type": "audio", "source_type": "base64", "data": base64_of(WAV)}, wire),
        (wire, wire),
        (url, url),
    )
    for block, expected in cases:
        model.invoke([HumanMessage([block, TEXT, image_block(PNG)])], model=MODELS[2])

        assert [expected, TEXT, WIRE] == sent_content(phi)


# -- refused before sending --------------------------------------------------------------------


def image_message(data: bytes) -> HumanMessage:
    """A message with an image of any content."""
    return HumanMessage([{"type": "image", "base64": base64_of(data)}])


TWO_IMAGES = HumanMessage([image_block(PNG), image_block(OTHER)])
REFUSED: tuple[tuple[list[BaseMessage], str, str], ...] = (
    ([HumanMessage([image_block(PNG)])], "Phi-4", "does not accept image input"),
    ([TWO_IMAGES], MODELS[0], "this one has 2. Join them"),
    ([TWO_IMAGES, HumanMessage([image_block(PNG)])], MODELS[0], "this one has 2"),
    ([image_message(b"no picture at all")], MODELS[0], "of an unknown format"),
    ([image_message(b"")], MODELS[0], "The image is empty"),
    ([image_message(b"%PDF-1.7 and more")], MODELS[0], "is a PDF. Phi's servers decode JPEG"),
    ([SystemMessage([image_block(PNG)]), HumanMessage("Hi")], MODELS[0], "into a HumanMessage"),
    (
        [HumanMessage("Hi"), AIMessage([image_block(PNG)]), HumanMessage("Hm?")],
        MODELS[0],
        "into a HumanMessage",
    ),
    (
        [HumanMessage([{"type": "audio", "base64": base64_of(WAV)}])],
        MODELS[1],
        "does not accept audio input. Use one of Phi-4-multimodal",
    ),
    (
        [HumanMessage([{"type": "image", "url": "/home/me/chart.png"}])],
        MODELS[0],
        "image_block makes one",
    ),
)


async def test_unsupported_media_is_refused_before_sending(
    phi: Emulator, model: ChatAzurePhi3
) -> None:
    """With an error that says what to do."""
    for messages, name, reason in REFUSED:
        for mode in CALL_MODES:
            with pytest.raises(InvalidInputError, match=reason):
                await call_model(model, mode, messages, model=name)

    assert [] == phi.requests


def test_unknown_models_leave_limits_to_the_server(phi: Emulator) -> None:
    """Nothing is known of an unknown name, so the request is sent."""
    unknown = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key)

    with pytest.raises(BadRequestError, match=r"At most 1 image\(s\) may be provided"):
        unknown.invoke([TWO_IMAGES])


# -- conversations -----------------------------------------------------------------------------

CONVERSATION = [
    HumanMessage([{"type": "text", "text": "First"}, image_block(PNG)]),
    AIMessage("I see."),
    HumanMessage([{"type": "text", "text": "Second"}, image_block(OTHER)]),
    AIMessage("I see."),
    HumanMessage("Which was larger?"),
]


def test_phi_3_vision_receives_the_newest_image(phi: Emulator, model: ChatAzurePhi3) -> None:
    """Older images are removed, their text stays; the given messages are not changed."""
    answer = model.invoke(CONVERSATION)

    assert "Images: 1 (100x100)" in answer.text
    assert [{"type": "text", "text": "First"}] == sent_content(phi, 0)
    assert 2 == len(CONVERSATION[0].content)


def test_later_models_receive_all_images(model: ChatAzurePhi3) -> None:
    """Across a conversation and within one message."""
    for name in MODELS[1:3]:
        answer = model.invoke([*CONVERSATION, TWO_IMAGES], model=name)

        assert "Images: 4 (640x480, 100x100, 640x480, 100x100)" in answer.text


def tool_calls(*ids: str) -> AIMessage:
    """A message that calls a tool under each ID."""
    return AIMessage("", tool_calls=[{"id": i, "name": "draw", "args": {}} for i in ids])


def test_images_of_tools_become_user_messages(phi: Emulator, model: ChatAzurePhi3) -> None:
    """With prompted and native tools; Phi-3-vision keeps the newer of two."""
    for tool_calling in ("prompted", "native"):
        caller = model.model_copy(update={"tool_calling": tool_calling})
        for block in FORMS:
            result = ToolMessage([TEXT, block], tool_call_id="1")
            caller.invoke([HumanMessage("Draw."), tool_calls("1"), result])

            assert "user" == phi.requests[-1].json["messages"][-1]["role"]
            assert WIRE == sent_content(phi)[-1]

        caller.invoke(
            [
                HumanMessage("Draw both."),
                tool_calls("1", "2"),
                ToolMessage([TEXT, image_block(PNG)], tool_call_id="1"),
                ToolMessage([image_block(OTHER)], tool_call_id="2"),
            ]
        )
        body = str(phi.requests[-1].json)
        assert [False, True] == [base64_of(data) in body for data in (PNG, OTHER)]
        assert TEXT["text"] in body


def test_images_in_anthropic_tool_results_are_sent(phi: Emulator, model: ChatAzurePhi3) -> None:
    """Before the user's own text."""
    result = {"type": "tool_result", "tool_use_id": "1", "content": [ANTHROPIC_FORM]}

    answer = model.invoke(
        [
            HumanMessage("Draw."),
            AIMessage([{"type": "tool_use", "id": "1", "name": "draw", "input": {}}]),
            HumanMessage([result, TEXT]),
        ]
    )

    assert "640x480" in answer.text
    assert answer.text.endswith(f"You said: {TEXT['text']}")
    assert "draw" in sent_content(phi, 1)


def test_image_placeholders_in_texts_are_escaped(phi: Emulator, model: ChatAzurePhi3) -> None:
    """They would stand for a second image; a document from a tool may contain one."""
    model.invoke([HumanMessage(["<|image_1|>\nWhat is this?", image_block(PNG)])])

    assert {"type": "text", "text": "<image_1>\nWhat is this?"} == sent_content(phi)[0]


# -- sizes -------------------------------------------------------------------------------------


async def test_images_are_resized_off_the_event_loop(
    phi: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a thread; a large image would block the loop for seconds."""
    threads: list[threading.Thread] = []

    def resize(part: dict[str, Any], max_side: int) -> dict[str, Any]:
        threads.append(threading.current_thread())
        return part

    monkeypatch.setattr(images, "resize_image_part", resize)
    model = ChatAzurePhi3(
        endpoint=phi.endpoint, credential=phi.key, model=MODELS[1], max_image_side=100
    )
    messages = [HumanMessage([image_block(PNG)])]

    await model.ainvoke(messages)
    async for _ in model.astream(messages):
        pass
    async for _ in model.astream_events(messages, version="v2"):
        pass

    assert len(threads) == 3
    assert threading.main_thread() not in threads


async def test_max_image_side_reduces_large_images(phi: Emulator) -> None:
    """Proportions and format stay; smaller images are sent unchanged."""
    small = ChatAzurePhi3(
        endpoint=phi.endpoint, credential=phi.key, model=MODELS[1], max_image_side=100
    )
    large = {"type": "image", "base64": base64_of(image_file(400, 200, "JPEG"))}
    kept = image_block(image_file(80, 100))

    for mode in CALL_MODES:
        answer = await call_model(small, mode, [HumanMessage([TEXT, large, kept])])

        assert "Images: 2 (100x50, 80x100)" in answer.text
        content = sent_content(phi)
        assert content[1]["image_url"]["url"].startswith("data:image/jpeg;base64,")
        assert f"data:image/png;base64,{kept['base64']}" == content[2]["image_url"]["url"]


def test_images_are_unchanged_by_default(phi: Emulator, model: ChatAzurePhi3) -> None:
    """Even very large ones."""
    data = image_file(3000, 2000)

    model.invoke([HumanMessage([image_block(data)])])

    assert data == base64.b64decode(sent_content(phi)[0]["image_url"]["url"].partition(",")[2])


def test_invalid_sizes_and_unreadable_images_are_refused(
    phi: Emulator, model: ChatAzurePhi3
) -> None:
    """A size at construction; an image without pixels when it would be resized."""
    for side in (0, -1, "wide"):
        with pytest.raises(InvalidInputError, match="max_image_side"):
            ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, max_image_side=side)
    with pytest.raises(InvalidInputError, match="cannot be read"):
        model.model_copy(update={"max_image_side": 100}).invoke([HumanMessage([image_block(PNG)])])

    assert [] == phi.requests


def test_large_images_are_not_copied_needlessly() -> None:
    """`image_block` holds the base64 as bytes and text, a call as data URL and request."""
    peaks = image_memory.measure()

    assert peaks["image_block"] < 2.05
    assert peaks["get_num_tokens_from_messages"] < 1.05
    assert peaks["invoke"] < 2.1


# -- anything at all ---------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
MEDIA = st.one_of(
    st.binary(max_size=60).map(base64_of),
    st.sampled_from([PNG, OTHER, WAV]).map(base64_of),
    st.binary(max_size=60).map(lambda data: data_url(PNG[:30] + data, "image/png")),
    st.just(URL),
    JSON,
)
BLOCK_TYPES = st.sampled_from(
    [
        *("text", "image", "image_url", "input_image", "file", "media", "document", "video"),
        *("audio", "input_audio", "audio_url", "tool_use", "tool_result", "reasoning", "?"),
    ]
)
BLOCKS = st.one_of(
    st.fixed_dictionaries(
        {"type": BLOCK_TYPES | JSON},
        optional={
            key: MEDIA | st.dictionaries(st.sampled_from(["url", "data", "base64"]), MEDIA)
            for key in ("text", "url", "base64", "data", "image_url", "input_audio", "source")
        }
        | dict.fromkeys(("mime_type", "source_type", "detail", "id", "name", "content"), JSON)
        | dict.fromkeys(("input", "tool_use_id", "file_id", "extras", "audio_url"), JSON),
    ),
    st.dictionaries(st.text(max_size=8), JSON, max_size=4),
    st.text(max_size=30),
)
MESSAGES = st.one_of(
    st.builds(HumanMessage, st.lists(BLOCKS, max_size=4)),
    st.builds(AIMessage, st.lists(BLOCKS, max_size=3)),
    st.builds(SystemMessage, st.lists(BLOCKS, max_size=2)),
    st.builds(ToolMessage, st.lists(BLOCKS, max_size=3), tool_call_id=st.just("1")),
)

WIRE_URL = re.compile(r"https?://|data:image/(?:jpeg|png|gif|bmp|webp|tiff);base64,")
IN_PROCESS = Emulator(*MODELS)
IN_PROCESS_MODEL = ChatAzurePhi3(
    endpoint="https://phi.invalid",
    credential=IN_PROCESS.key,
    http_client=httpx.Client(transport=IN_PROCESS.transport()),
    http_async_client=httpx.AsyncClient(transport=IN_PROCESS.transport()),
    max_retries=0,
)


async def check_outcome(mode: str, messages: list[Any], name: str) -> None:
    """Check that a conversation is sent in valid form, or refused before sending."""
    IN_PROCESS.requests.clear()
    try:
        await call_model(IN_PROCESS_MODEL, mode, messages, model=name)
    except InvalidInputError:
        assert [] == IN_PROCESS.requests
        return
    except BadRequestError as error:
        # Only the server can judge a file that ends within its header.
        if "Invalid image" not in str(error):
            raise
    body = IN_PROCESS.requests[-1].body.decode()
    urls = re.findall(r'"image_url":{"url":"([^"]{,30})', body)
    assert [] == [url for url in urls if WIRE_URL.match(url) is None]


FILES = st.one_of(
    st.binary(max_size=200),
    st.builds(
        lambda start, rest: start[:40] + rest,
        st.sampled_from([PNG, WAV, gif_of(2, 2), bmp_of(2, 2), jpeg_of(2, 2), tiff_of(2, 2)]),
        st.binary(max_size=60),
    ),
)


@given(data=FILES, name=st.sampled_from(MODELS[:3]))
def test_any_bytes_are_sent_or_refused(data: bytes, name: str) -> None:
    """Without other errors, in all call modes."""
    message = HumanMessage([TEXT, {"type": "image", "base64": base64_of(data)}])

    for mode in CALL_MODES:
        asyncio.run(check_outcome(mode, [message], name))


@given(messages=st.lists(MESSAGES, min_size=1, max_size=3), name=st.sampled_from(MODELS))
def test_any_blocks_are_sent_or_refused(messages: list[Any], name: str) -> None:
    """Whatever they contain, in any message."""
    asyncio.run(check_outcome("invoke", messages, name))
