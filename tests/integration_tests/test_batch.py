"""Tables of prompts on one machine; `tests/scale_tests` has Ray and Spark."""

import asyncio
import json
import pickle
import random
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from langchain_core.load import dumps
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, messages_to_dict
from pydantic import BaseModel

from langchain_azure_phi3 import AuthenticationError, ChatAzurePhi3, InvalidInputError
from langchain_azure_phi3._batch.results import RESULT_SCHEMA
from langchain_azure_phi3.batch import BatchInvoker, invoke_table, usage_totals
from langchain_azure_phi3.emulator import Emulator, Prompt
from tests.unit_tests.images import png_of

IMAGE = png_of(40, 30)
BLOCKED = "How to make a lethal bomb?"


def echo(prompt: Prompt) -> str:
    """Answer with the question, and the number of images."""
    count = sum(len(message.images) for message in prompt.messages)
    images = f" {count} image" if count else ""
    return f"You wrote: {prompt.last_user_text}{images}"


@pytest.fixture
def echoing() -> Any:
    """An emulated vision model that answers with the question."""
    with Emulator("Phi-3.5-vision-instruct", responder=echo) as phi:
        yield phi


def model_of(phi: Emulator, **settings: Any) -> ChatAzurePhi3:
    """A model for an emulator."""
    return ChatAzurePhi3(endpoint=phi.endpoint, credential=phi.key, **settings)


def prompts(count: int) -> pa.Table:
    """A table of different prompts."""
    return pa.table({"id": range(count), "prompt": [f"Question {n}" for n in range(count)]})


def answers(table: pa.Table) -> list[str]:
    """The column of answers."""
    return table["answer"].to_pylist()


# -- rows --


def test_rows_keep_their_order(echoing: Emulator) -> None:
    """Also when some are called again; all other columns stay."""
    echoing.fail(status=503, times=15, retry_after=0)
    table = invoke_table(model_of(echoing, max_retries=0), prompts(50), progress=False)

    assert table.column_names == ["id", "prompt", *RESULT_SCHEMA.names]
    assert table["id"].to_pylist() == list(range(50))
    assert answers(table) == [f"You wrote: Question {n}" for n in range(50)]
    assert sum(table["attempts"].to_pylist()) == 65


def test_result_columns_have_fixed_types(echoing: Emulator) -> None:
    """Whether there are rows or not, and whether they all fail or none does."""
    model = model_of(echoing, max_retries=0)
    failing = BatchInvoker(model, max_row_retries=0)
    echoing.fail(status=500, times=2)
    tables = [failing(prompts(2)), failing(prompts(2)), failing(prompts(0))]

    assert [table.schema.names for table in tables] == [tables[0].schema.names] * 3
    for table in tables:
        for field in RESULT_SCHEMA:
            assert table.schema.field(field.name) == field
    assert tables[0]["answer"].null_count == 2
    assert tables[1]["error"].null_count == 2


def test_prompts_may_have_every_documented_form(echoing: Emulator) -> None:
    """A text, lists of roles, and messages as LangChain writes them; as values or as JSON."""
    roles = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    messages = [
        SystemMessage("Be brief."),
        HumanMessage("Hi"),
        AIMessage("Yes?"),
        HumanMessage("A"),
    ]
    texts = ["Hi", "[1, 2] is a list", '[{"no": "message"}]', json.dumps(roles)]
    texts += [dumps(messages), json.dumps(messages_to_dict(messages))]

    table = invoke_table(model_of(echoing), pa.table({"prompt": texts}), progress=False)
    as_lists = invoke_table(model_of(echoing), pa.table({"prompt": [roles]}), progress=False)

    written = ["Hi", "[1, 2] is a list", '[{"no": "message"}]', "Hi", "A", "A"]
    assert answers(table) == [f"You wrote: {text}" for text in written]
    assert answers(as_lists) == ["You wrote: Hi"]
    assert [len(request.json["messages"]) for request in echoing.requests[-1:]] == [2]


def test_rows_without_a_prompt_are_errors_of_the_row(echoing: Emulator) -> None:
    """Nothing is sent for them, and the others are answered."""
    given = pa.table({"prompt": [None, "", "  ", "Hi", json.dumps([{"role": "nobody"}])]})

    table = invoke_table(model_of(echoing), given, progress=False)

    assert [value is None for value in answers(table)] == [True, True, True, False, True]
    assert table["error_type"].to_pylist()[:3] == ["InvalidInputError"] * 3
    assert table["retryable"].to_pylist() == [False] * 5
    assert len(echoing.requests) == 1


def test_images_are_bytes_paths_or_lists(echoing: Emulator, tmp_path: Path) -> None:
    """A file that is not there is an error of its row."""
    (tmp_path / "a.png").write_bytes(IMAGE)
    paths = pa.table({"prompt": ["A", "B"], "image": [str(tmp_path / "a.png"), "missing.png"]})
    data = pa.table({"prompt": ["A", "B"], "image": [IMAGE, None]})
    lists = pa.table({"prompt": ["A"], "image": [[IMAGE]]})

    table = invoke_table(model_of(echoing), paths, progress=False)
    assert answers(table) == ["You wrote: A 1 image", None]
    assert table["error_type"].to_pylist() == [None, "FileNotFoundError"]
    for images, expected in [(data, ["A 1 image", "B"]), (lists, ["A 1 image"])]:
        table = invoke_table(model_of(echoing), images, progress=False)
        assert answers(table) == [f"You wrote: {text}" for text in expected]


class Ticket(BaseModel):
    """A customer's ticket."""

    label: str


def test_schema_makes_objects(phi: Emulator) -> None:
    """As JSON, for pydantic models and JSON schemas; what does not fit is an error of the row."""
    for schema in (Ticket, Ticket.model_json_schema()):
        phi.script('{"label": "billing"}', "no object", "none again")
        table = invoke_table(
            model_of(phi), prompts(2), schema=schema, max_concurrency=1, progress=False
        )

        assert json.loads(answers(table)[0]) == {"label": "billing"}
        assert table["error_type"].to_pylist() == [None, "OutputParserException"]
        assert table["retryable"].to_pylist() == [False, False]
        assert table["input_tokens"][1].as_py() > table["input_tokens"][0].as_py()  # two calls


def test_equal_prompts_are_called_once_at_temperature_0(echoing: Emulator) -> None:
    """Their copies cost nothing. At other temperatures the answers may differ."""
    given = pa.table({"prompt": ["A", "B", "A", "A"]})

    table = invoke_table(model_of(echoing, temperature=0), given, progress=False)
    assert len(echoing.requests) == 2
    assert answers(table) == [f"You wrote: {text}" for text in "ABAA"]
    assert table["attempts"].to_pylist() == [1, 1, 0, 0]
    assert table["output_tokens"].to_pylist()[2:] == [0, 0]

    for temperature in (None, 0.7):
        echoing.requests.clear()
        invoke_table(model_of(echoing, temperature=temperature), given, progress=False)
        assert len(echoing.requests) == 4


def test_failed_rows_state_what_to_do(echoing: Emulator) -> None:
    """A blocked row is finished; one that a server failed is left for a later run."""
    given = pa.table({"prompt": [BLOCKED, "Hi", "x " * 200_000]})
    table = invoke_table(
        model_of(echoing, model="Phi-3.5-vision-instruct"),
        given,
        max_concurrency=1,
        progress=False,
    )

    assert table["error_type"].to_pylist() == ["ContentFilterError", None, "ContextLengthError"]
    assert table["finish_reason"].to_pylist()[0] == "content_filter"
    assert table["retryable"].to_pylist() == [False, False, False]

    echoing.fail(status=500, times=3)
    table = invoke_table(model_of(echoing, max_retries=0), prompts(1), progress=False)
    assert table["error_type"].to_pylist() == ["ServerError"]
    assert table["retryable"].to_pylist() == [True]
    assert table["attempts"].to_pylist() == [3]


def test_totals_add_up_the_rows(echoing: Emulator) -> None:
    """Rows, errors by type, and tokens."""
    given = pa.table({"prompt": [BLOCKED, "Hi", "", ""]})
    table = invoke_table(model_of(echoing), given, progress=False)

    totals = usage_totals(table)

    assert totals["rows"] == 4
    assert totals["answered"] == 1
    assert totals["errors"] == {"InvalidInputError": 2, "ContentFilterError": 1}
    assert totals["retryable"] == 0
    assert totals["input_tokens"] == sum(table["input_tokens"].to_pylist()) > 0
    assert totals["output_tokens"] == sum(table["output_tokens"].to_pylist()) > 0


def test_totals_have_the_cost_of_priced_models() -> None:
    """In US dollars; and none if a price is not known."""
    with Emulator("Phi-4-mini-instruct") as phi:
        answered = invoke_table(model_of(phi), prompts(3), progress=False)
    unknown = answered.set_column(
        answered.schema.get_field_index("model"), RESULT_SCHEMA.field("model"), [["my-own"] * 3]
    )

    totals = usage_totals(answered)

    expected = totals["input_tokens"] * 0.075 + totals["output_tokens"] * 0.30
    assert totals["cost"] == pytest.approx(expected / 1e6)
    assert "cost" not in usage_totals(unknown)


def test_invalid_tables_are_refused(echoing: Emulator) -> None:
    """Before anything is sent."""
    model = model_of(echoing)
    for table, options, message in [
        (pa.table({"text": ["a"]}), {}, "no column 'prompt'. Its columns are: text"),
        (pa.table({"prompt": ["a"], "answer": ["b"]}), {}, "already has columns .*: answer"),
        (pa.table({"prompt": ["a"]}), {"max_concurrency": 0}, "max_concurrency must be at least 1"),
    ]:
        with pytest.raises(InvalidInputError, match=message):
            invoke_table(model, table, progress=False, **options)
    assert echoing.requests == []


# -- processes --


def test_invoker_is_pickled_as_settings(echoing: Emulator) -> None:
    """Also after use; batches of one process share connections."""
    invoker = BatchInvoker(model_of(echoing), max_concurrency=4)
    before = threading.active_count()
    for each in (invoker, pickle.loads(pickle.dumps(invoker))):
        for _ in range(3):
            assert None not in answers(each(prompts(8)))

    assert threading.active_count() <= before + 1
    assert echoing.open_connections <= 4


async def test_invoker_works_inside_a_running_loop(echoing: Emulator) -> None:
    """As in notebooks."""
    table = await asyncio.to_thread(BatchInvoker(model_of(echoing)), prompts(2))
    assert None not in answers(table)

    assert None not in answers(BatchInvoker(model_of(echoing))(prompts(2)))


def test_calls_run_at_the_same_time() -> None:
    """As many as `max_concurrency`, and no more."""
    running: Counter[str] = Counter()

    def slow(_: Prompt) -> str:
        running["now"] += 1
        running["most"] = max(running["most"], running["now"])
        time.sleep(0.05)
        running["now"] -= 1
        return "ok"

    with Emulator(responder=slow) as phi:
        invoke_table(model_of(phi), prompts(24), max_concurrency=6, progress=False)

    assert 2 <= running["most"] <= 6


# -- checkpoints --


def test_checkpoint_saves_finished_batches(echoing: Emulator, tmp_path: Path) -> None:
    """A second run sends nothing; one with other rows or another schema is refused."""
    model = model_of(echoing)
    given = prompts(600)
    first = invoke_table(model, given, checkpoint=tmp_path / "done", progress=False)
    assert len(list((tmp_path / "done").glob("*.parquet"))) == 3
    echoing.requests.clear()

    for id_column in (None,):
        again = invoke_table(
            model, given, checkpoint=tmp_path / "done", id_column=id_column, progress=False
        )
        assert again.equals(first)
    assert echoing.requests == []

    other = given.set_column(1, "prompt", pa.array([f"Other {n}" for n in range(600)]))
    for table, options in [(other, {}), (given, {"schema": Ticket})]:
        with pytest.raises(InvalidInputError, match="belongs to other rows"):
            invoke_table(model, table, checkpoint=tmp_path / "done", progress=False, **options)


def test_only_rows_that_may_pass_are_repeated(echoing: Emulator, tmp_path: Path) -> None:
    """A later run calls the model for these rows alone."""
    model = model_of(echoing, max_retries=0)
    given = pa.table({"id": range(8), "prompt": [BLOCKED, *(f"Q{n}" for n in range(7))]})
    options = {"checkpoint": tmp_path, "id_column": "id", "progress": False, "max_row_retries": 0}
    echoing.fail(status=500, times=3)
    first = invoke_table(model, given, **options)
    assert usage_totals(first)["retryable"] == 3
    echoing.requests.clear()

    second = invoke_table(model, given, **options)

    assert len(echoing.requests) == 3
    assert usage_totals(second)["errors"] == {"ContentFilterError": 1}
    assert answers(second)[1:] == [f"You wrote: Q{n}" for n in range(7)]
    assert invoke_table(model, given, **options).equals(second)


def test_wrong_settings_stop_the_run(phi: Emulator, tmp_path: Path) -> None:
    """A wrong key fails every row: nothing is saved, and the right key starts anew."""
    wrong = ChatAzurePhi3(endpoint=phi.endpoint, credential="wrong")
    with pytest.raises(AuthenticationError):
        invoke_table(wrong, prompts(300), checkpoint=tmp_path, progress=False)
    assert len(phi.requests) <= 256

    table = invoke_table(model_of(phi), prompts(300), checkpoint=tmp_path, progress=False)

    assert None not in answers(table)


def test_unreadable_checkpoint_is_named(echoing: Emulator, tmp_path: Path) -> None:
    """Nothing is lost: without this file, its batch is called again, and no other."""
    model = model_of(echoing)
    first = invoke_table(model, prompts(600), checkpoint=tmp_path, progress=False)
    damaged = tmp_path / "00000001.parquet"
    damaged.write_bytes(damaged.read_bytes()[:100])
    echoing.requests.clear()

    with pytest.raises(InvalidInputError, match=r"00000001\.parquet cannot be read.*Delete"):
        invoke_table(model, prompts(600), checkpoint=tmp_path, progress=False)
    assert echoing.requests == []

    damaged.unlink()
    again = invoke_table(model, prompts(600), checkpoint=tmp_path, progress=False)
    assert len(echoing.requests) == 256
    assert answers(again) == answers(first)


FULL_DISK = """
import resource, sys
import pyarrow as pa
from langchain_azure_phi3 import ChatAzurePhi3
from langchain_azure_phi3.batch import invoke_table
endpoint, key, folder = sys.argv[1:]
table = pa.table({"prompt": [f"{n} " + ("long " * 400 if n > 300 else "") for n in range(600)]})
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
invoke_table(ChatAzurePhi3(endpoint=endpoint, credential=key), table, checkpoint=folder,
             progress=False)
"""


def test_disk_error_keeps_earlier_batches(tmp_path: Path) -> None:
    """The error names the file; what was saved stays readable, and no draft is left."""

    def respond(prompt: Prompt) -> str:
        text = prompt.last_user_text
        return random.Random(text).randbytes(200).hex() if len(text) > 1000 else "short"

    with Emulator("Phi-3-mini-128k-instruct", responder=respond) as phi:
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-c", FULL_DISK, phi.endpoint, phi.key, str(tmp_path)],
            capture_output=True,
            text=True,
            check=False,
        )

    assert done.returncode == 1
    assert "The checkpoint cannot be written (File too large)" in done.stderr
    assert "run the same program again" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["00000000.parquet"]
    assert pq.read_table(tmp_path / "00000000.parquet").num_rows == 256


def test_progress_shows_tokens_errors_and_totals(
    echoing: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    """On standard error, so that standard output stays the program's."""
    given = pa.table({"prompt": [BLOCKED, "Hi", "Ho"]})
    invoke_table(model_of(echoing), given)

    printed = capsys.readouterr()
    assert printed.out == ""
    assert "3/3" in printed.err
    assert "errors=1" in printed.err
    assert "tokens=" in printed.err
    assert re.search(r"\d\d:\d\d<\d\d:\d\d, +[\d.]+row/s", printed.err)  # elapsed<remaining, speed
    assert "3 rows: 2 answered, 1 errors (1 ContentFilterError)." in printed.err
