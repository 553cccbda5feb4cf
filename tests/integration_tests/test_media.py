"""Pictures and sounds through the public door: what arrives at the server, and what never does."""

import asyncio
import base64
import re
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

from langchain_azure_phi3 import BadRequestError, ChatAzurePhi3, InvalidInputError, image_block
from langchain_azure_phi3.emulator import Emulator
from tests.benchmarks import image_memory
from tests.integration_tests.colours import COLOURS, ask
from tests.unit_tests.pictures import (
    WAV,
    bmp_of,
    data_url,
    gif_of,
    jpeg_of,
    png_of,
    text_of,
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
    """One deployment of every kind: sees one picture, sees several, hears as well, reads only."""
    with Emulator(*MODELS) as emulator:
        yield emulator


@pytest.fixture
def model(phi: Emulator) -> ChatAzurePhi3:
    """Phi-3-vision; a call may name another."""
    return ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, model=MODELS[0])


def picture(width: int, height: int, kind: str = "PNG") -> bytes:
    """A whole picture, for Pillow to work on."""
    file = BytesIO()
    Image.new("RGB", (width, height), "white").save(file, kind)
    return file.getvalue()


def sent(phi: Emulator, turn: int = -1) -> Any:
    """The content of a turn of the last request."""
    return phi.requests[-1].json["messages"][turn]["content"]


# -- every form --------------------------------------------------------------------------------

FORMS: dict[str, Any] = {
    "openai": {"type": "image_url", "image_url": {"url": data_url(PNG, "image/jpg")}},
    "openai, as a string": {"type": "image_url", "image_url": data_url(PNG, "image/png")},
    "langchain v1": {"type": "image", "base64": text_of(PNG), "mime_type": "image/png"},
    "langchain v0": {
        "type": "image",
        "source_type": "base64",
        "data": text_of(PNG),
        "mime_type": "image/png",
    },
    "anthropic": {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": text_of(PNG)},
    },
    "image_block": image_block(PNG),
}


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("block", FORMS.values(), ids=FORMS)
async def test_a_picture_in_any_form_arrives_the_same(
    phi: Emulator, model: ChatAzurePhi3, block: dict[str, Any], colour: str
) -> None:
    """And is seen: 640 x 480."""
    answer = await ask(model, colour, [HumanMessage([TEXT, block])])

    assert [TEXT, WIRE] == sent(phi)
    assert "640x480" in answer.text


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"])
def test_a_picture_of_every_format_arrives(phi: Emulator, model: ChatAzurePhi3, kind: str) -> None:
    """With its own type, as Pillow writes it."""
    answer = model.invoke([HumanMessage([image_block(picture(30, 20, kind))])])

    assert "30x20" in answer.text
    assert sent(phi)[0]["image_url"]["url"].startswith(f"data:image/{kind.lower()};base64,")


def test_a_file_a_stream_and_a_pil_image_arrive(
    phi: Emulator, model: ChatAzurePhi3, tmp_path: Path
) -> None:
    """`image_block` takes them all, and the server sees their size."""
    path = tmp_path / "chart.png"
    path.write_bytes(picture(30, 20))
    with path.open("rb") as file:
        blocks = [image_block(path), image_block(str(path)), image_block(file)]
    blocks.append(image_block(Image.new("L", (30, 20))))

    for block in blocks:
        assert "30x20" in model.invoke([HumanMessage([block])]).text


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image_url", "image_url": URL},
        {"type": "image", "url": URL},
        {"type": "image", "source_type": "url", "url": URL},
        {"type": "image", "source": {"type": "url", "url": URL}},
    ],
)
def test_a_url_is_passed_through_and_never_fetched(
    phi: Emulator, model: ChatAzurePhi3, block: dict[str, Any]
) -> None:
    """What is behind it is the server's affair, with `max_image_side` as well."""
    small = model.model_copy(update={"max_image_side": 10})

    small.invoke([HumanMessage([TEXT, block])])

    assert [TEXT, {"type": "image_url", "image_url": {"url": URL}}] == sent(phi)


@pytest.mark.parametrize(
    ("block", "wire"),
    [
        (
            {"type": "audio", "base64": text_of(WAV), "mime_type": "audio/wav"},
            {"type": "input_audio", "input_audio": {"data": text_of(WAV), "format": "wav"}},
        ),
        (
            {"type": "audio", "source_type": "base64", "data": text_of(WAV)},
            {"type": "input_audio", "input_audio": {"data": text_of(WAV), "format": "wav"}},
        ),
        (
            {"type": "input_audio", "input_audio": {"data": text_of(WAV), "format": "wav"}},
            {"type": "input_audio", "input_audio": {"data": text_of(WAV), "format": "wav"}},
        ),
        (
            {"type": "audio_url", "audio_url": {"url": URL}},
            {"type": "audio_url", "audio_url": {"url": URL}},
        ),
    ],
)
def test_a_sound_arrives_at_the_model_that_hears(
    phi: Emulator, model: ChatAzurePhi3, block: dict[str, Any], wire: dict[str, Any]
) -> None:
    """Beside a picture and a text, in their order."""
    model.invoke([HumanMessage([block, TEXT, image_block(PNG)])], model=MODELS[2])

    assert [wire, TEXT, WIRE] == sent(phi)


# -- refused before anything is sent -----------------------------------------------------------

REFUSED: dict[str, tuple[list[BaseMessage], str, str]] = {
    "an image for a text model": ([HumanMessage([image_block(PNG)])], "Phi-4", "takes no image"),
    "two images in a turn": (
        [HumanMessage([image_block(PNG), image_block(OTHER)])],
        MODELS[0],
        "this one has 2; join them",
    ),
    "two images in an older turn": (
        [HumanMessage([image_block(PNG), image_block(OTHER)]), HumanMessage([image_block(PNG)])],
        MODELS[0],
        "this one has 2",
    ),
    "bytes that are no picture": (
        [HumanMessage([{"type": "image", "base64": text_of(b"no picture at all")}])],
        MODELS[0],
        "of no known format",
    ),
    "an empty file": (
        [HumanMessage([{"type": "image", "base64": ""}])],
        MODELS[0],
        "The image is empty",
    ),
    "an unsupported format": (
        [HumanMessage([{"type": "image", "base64": text_of(b"%PDF-1.7 and more")}])],
        MODELS[0],
        "is a PDF; Phi's servers decode JPEG",
    ),
    "an image in a system message": (
        [SystemMessage([image_block(PNG)]), HumanMessage("Hi")],
        MODELS[0],
        "Put it into a HumanMessage",
    ),
    "an image in an assistant turn": (
        [HumanMessage("Hi"), AIMessage([image_block(PNG)]), HumanMessage("Hm?")],
        MODELS[0],
        "Put it into a HumanMessage",
    ),
    "a sound for a model that sees": (
        [HumanMessage([{"type": "audio", "base64": text_of(WAV)}])],
        MODELS[1],
        "takes no audio; use one of Phi-4-multimodal",
    ),
    "a path in place of a URL": (
        [HumanMessage([{"type": "image", "url": "/home/me/chart.png"}])],
        MODELS[0],
        "image_block makes one",
    ),
}


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize(("messages", "name", "reason"), REFUSED.values(), ids=REFUSED)
async def test_what_cannot_be_seen_is_refused_before_anything_is_sent(
    phi: Emulator,
    model: ChatAzurePhi3,
    messages: list[BaseMessage],
    name: str,
    reason: str,
    colour: str,
) -> None:
    """With words that say what to do."""
    with pytest.raises(InvalidInputError, match=reason):
        await ask(model, colour, messages, model=name)

    assert [] == phi.requests


def test_the_server_refuses_two_pictures_itself(phi: Emulator) -> None:
    """What the check spares its users: of an unknown name nothing is known, so it is asked."""
    unknown = ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key)

    with pytest.raises(Exception, match=r"At most 1 image\(s\) may be provided"):
        unknown.invoke([HumanMessage([image_block(PNG), image_block(OTHER)])])


# -- conversations -----------------------------------------------------------------------------

CONVERSATION = [
    HumanMessage([{"type": "text", "text": "First"}, image_block(PNG)]),
    AIMessage("I see."),
    HumanMessage([{"type": "text", "text": "Second"}, image_block(OTHER)]),
    AIMessage("I see."),
    HumanMessage("Which was larger?"),
]


def test_phi_3_vision_keeps_the_newest_picture_of_a_conversation(
    phi: Emulator, model: ChatAzurePhi3
) -> None:
    """Older ones go, their text stays; the messages given are not changed."""
    answer = model.invoke(CONVERSATION)

    assert "Images: 1 (100x100)" in answer.text
    assert [{"type": "text", "text": "First"}] == sent(phi, 0)
    assert 2 == len(CONVERSATION[0].content)


@pytest.mark.parametrize("name", MODELS[1:3])
def test_later_models_keep_all_pictures(phi: Emulator, model: ChatAzurePhi3, name: str) -> None:
    """Over a conversation and in one turn."""
    both = HumanMessage([image_block(PNG), image_block(OTHER)])

    answer = model.invoke([*CONVERSATION, both], model=name)

    assert "Images: 4 (640x480, 100x100, 640x480, 100x100)" in answer.text


def calls(*identities: str) -> AIMessage:
    """An assistant turn that calls a tool under each id."""
    return AIMessage("", tool_calls=[{"id": i, "name": "draw", "args": {}} for i in identities])


@pytest.mark.parametrize("tool_calling", ["prompted", "native"])
@pytest.mark.parametrize("block", FORMS.values(), ids=FORMS)
def test_a_tools_picture_reaches_the_model_in_a_user_turn(
    phi: Emulator, model: ChatAzurePhi3, tool_calling: str, block: dict[str, Any]
) -> None:
    """Whether tools go in words or on the wire."""
    model = model.model_copy(update={"tool_calling": tool_calling})

    model.invoke([HumanMessage("Draw."), calls("1"), ToolMessage([TEXT, block], tool_call_id="1")])

    assert ("user", WIRE) == (phi.requests[-1].json["messages"][-1]["role"], sent(phi)[-1])


@pytest.mark.parametrize("tool_calling", ["prompted", "native"])
def test_of_two_tools_pictures_phi_3_vision_keeps_the_newer(
    phi: Emulator, model: ChatAzurePhi3, tool_calling: str
) -> None:
    """Two messages, not two pictures in one: an agent cannot put them otherwise."""
    model = model.model_copy(update={"tool_calling": tool_calling})

    model.invoke(
        [
            HumanMessage("Draw both."),
            calls("1", "2"),
            ToolMessage([TEXT, image_block(PNG)], tool_call_id="1"),
            ToolMessage([image_block(OTHER)], tool_call_id="2"),
        ]
    )

    body = str(phi.requests[-1].json)
    assert [False, True] == [text_of(data) in body for data in (PNG, OTHER)]
    assert TEXT["text"] in body


def test_anthropics_tool_result_reaches_the_model(phi: Emulator, model: ChatAzurePhi3) -> None:
    """A picture in a result in a user's turn, before the user's own words."""
    result = {"type": "tool_result", "tool_use_id": "1", "content": [FORMS["anthropic"]]}

    answer = model.invoke(
        [
            HumanMessage("Draw."),
            AIMessage([{"type": "tool_use", "id": "1", "name": "draw", "input": {}}]),
            HumanMessage([result, TEXT]),
        ]
    )

    assert "640x480" in answer.text
    assert answer.text.endswith(f"You said: {TEXT['text']}")
    assert "draw" in sent(phi, 1)


def test_a_placeholder_in_a_text_does_not_reach_the_server(
    phi: Emulator, model: ChatAzurePhi3
) -> None:
    """It would claim a second picture; a document that a tool found could hold one."""
    model.invoke([HumanMessage(["<|image_1|>\nWhat is this?", image_block(PNG)])])

    assert {"type": "text", "text": "<image_1>\nWhat is this?"} == sent(phi)[0]


# -- smaller -----------------------------------------------------------------------------------


@pytest.mark.parametrize("colour", COLOURS)
async def test_large_pictures_are_scaled_down_where_the_user_says_so(
    phi: Emulator, colour: str
) -> None:
    """In their proportions and kind; smaller ones are sent as they are."""
    small = ChatAzurePhi3(
        endpoint=phi.endpoint, credential=phi.key, model=MODELS[1], max_image_side=100
    )
    large = {"type": "image", "base64": text_of(picture(400, 200, "JPEG"))}
    kept = image_block(picture(80, 100))

    answer = await ask(small, colour, [HumanMessage([TEXT, large, kept])])

    assert "Images: 2 (100x50, 80x100)" in answer.text
    assert sent(phi)[1]["image_url"]["url"].startswith("data:image/jpeg;base64,")
    assert f"data:image/png;base64,{kept['base64']}" == sent(phi)[2]["image_url"]["url"]


def test_no_picture_is_changed_by_default(phi: Emulator, model: ChatAzurePhi3) -> None:
    """Not even a very large one."""
    data = picture(3000, 2000)

    model.invoke([HumanMessage([image_block(data)])])

    assert data == base64.b64decode(sent(phi)[0]["image_url"]["url"].partition(",")[2])


def test_a_picture_that_cannot_be_scaled_is_refused(phi: Emulator, model: ChatAzurePhi3) -> None:
    """A header without a picture: the server could not read it either."""
    small = model.model_copy(update={"max_image_side": 100})

    with pytest.raises(InvalidInputError, match="cannot be read"):
        small.invoke([HumanMessage([image_block(PNG)])])

    assert [] == phi.requests


@pytest.mark.parametrize("side", [0, -1, "wide"])
def test_a_side_that_is_none_is_refused(phi: Emulator, side: object) -> None:
    """At construction, by its name."""
    with pytest.raises(InvalidInputError, match="max_image_side"):
        ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, max_image_side=side)


def test_a_large_picture_is_encoded_once_and_copied_no_more_than_needed() -> None:
    """`image_block` holds the base64 as bytes and text, a call as data URL and request."""
    peaks = image_memory.measured()

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
    st.binary(max_size=60).map(text_of),
    st.sampled_from([PNG, OTHER, WAV]).map(text_of),
    st.binary(max_size=60).map(lambda data: data_url(PNG[:30] + data, "image/png")),
    st.just(URL),
    JSON,
)
KINDS = st.sampled_from(
    [
        *("text", "image", "image_url", "input_image", "file", "media", "document", "video"),
        *("audio", "input_audio", "audio_url", "tool_use", "tool_result", "reasoning", "?"),
    ]
)
BLOCKS = st.one_of(
    st.fixed_dictionaries(
        {"type": KINDS | JSON},
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
DESK = Emulator(*MODELS)
IN_PROCESS = ChatAzurePhi3(
    endpoint="https://phi.invalid",
    credential=DESK.key,
    http_client=httpx.Client(transport=DESK.transport()),
    http_async_client=httpx.AsyncClient(transport=DESK.transport()),
    max_retries=0,
)


async def outcome_of(colour: str, messages: list[Any], name: str) -> None:
    """See that a conversation is sent in good form, or refused here and not sent at all."""
    DESK.requests.clear()
    try:
        await ask(IN_PROCESS, colour, messages, model=name)
    except InvalidInputError:
        assert [] == DESK.requests
        return
    except BadRequestError as refusal:
        # A file that is cut off in its header is one for the server to judge.
        if "Invalid image" not in str(refusal):
            raise
    pictures = re.findall(r'"image_url":{"url":"([^"]{,30})', DESK.requests[-1].body.decode())
    assert [] == [start for start in pictures if WIRE_URL.match(start) is None]


FILES = st.one_of(
    st.binary(max_size=200),
    st.builds(
        lambda start, rest: start[:40] + rest,
        st.sampled_from([PNG, WAV, gif_of(2, 2), bmp_of(2, 2), jpeg_of(2, 2), tiff_of(2, 2)]),
        st.binary(max_size=60),
    ),
)


@given(data=FILES, name=st.sampled_from(MODELS[:3]))
def test_any_bytes_are_a_picture_on_the_wire_or_refused_here(data: bytes, name: str) -> None:
    """Nothing else ever happens, in any colour."""
    message = HumanMessage([TEXT, {"type": "image", "base64": text_of(data)}])

    for colour in COLOURS:
        asyncio.run(outcome_of(colour, [message], name))


@given(messages=st.lists(MESSAGES, min_size=1, max_size=3), name=st.sampled_from(MODELS))
def test_any_blocks_are_on_the_wire_or_refused_here(messages: list[Any], name: str) -> None:
    """Whatever stands in them, and wherever they stand."""
    asyncio.run(outcome_of("invoke", messages, name))
