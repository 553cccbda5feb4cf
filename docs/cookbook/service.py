"""Streaming web page.

One model serves all requests. If a client disconnects, FastAPI cancels the response, which closes
the stream, and the deployment stops generating. An error before the first chunk becomes an HTTP
status. A later error becomes the last event.

```bash
pip install "langchain-azure-phi3[emulator]" fastapi uvicorn
python service.py 8080      # then open http://127.0.0.1:8080
```
"""

import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI, HTTPException
from fastapi.responses import HTMLResponse, StreamingResponse

from langchain_azure_phi3 import AzurePhi3Error, ChatAzurePhi3, ContentFilterError, RateLimitError
from langchain_azure_phi3.emulator import Emulator

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Ask Phi</title>
<style>body { font: 1rem/1.5 system-ui; max-width: 40rem; margin: 3rem auto; padding: 0 1rem }
input { font: inherit; width: 100%; box-sizing: border-box; padding: .4rem }
#answer { white-space: pre-wrap } #state { color: #777 }</style>
<form><input name="question" value="How many languages are in the world?" autofocus></form>
<p id="answer"></p><p id="state"></p>
<script>
const form = document.querySelector("form");
const answer = document.getElementById("answer"), state = document.getElementById("state");
let source;
function ask(question) {
  if (source) source.close();
  answer.textContent = ""; state.textContent = "waiting";
  source = new EventSource("/answer?question=" + encodeURIComponent(question));
  source.onmessage = event => { answer.textContent += JSON.parse(event.data); };
  source.addEventListener("end", event => { state.textContent = event.data; source.close(); });
  source.onerror = () => { state.textContent = "failed or interrupted"; source.close(); };
}
form.onsubmit = event => { event.preventDefault(); ask(form.question.value); };
const question = new URLSearchParams(location.search).get("question");
if (question) ask(form.question.value = question);
</script></html>
"""


def create_app(model: ChatAzurePhi3) -> FastAPI:
    """Create the service: a page, and a route that streams answers to it."""
    app = FastAPI()

    @app.get("/", response_class=HTMLResponse)
    async def page() -> str:
        return PAGE

    @app.get("/answer")
    async def answer(question: str) -> StreamingResponse:
        chunks = model.astream(question)
        try:
            first = await anext(chunks)
        except ContentFilterError as error:
            raise HTTPException(422, "This question cannot be answered here.") from error
        except RateLimitError as error:
            headers = {"Retry-After": str(round(error.retry_after or 1))}
            raise HTTPException(429, "Too many requests.", headers) from error
        except AzurePhi3Error as error:
            raise HTTPException(502, "The model is not available.") from error
        return StreamingResponse(_events(first.text, chunks), media_type="text/event-stream")

    return app


async def _events(first: str, chunks: AsyncIterator) -> AsyncIterator[str]:
    """Yield the answer as server-sent events; the last one reports how it ended."""
    yield f"data: {json.dumps(first)}\n\n"
    tokens = None
    try:
        async for chunk in chunks:
            tokens = chunk.usage_metadata or tokens
            yield f"data: {json.dumps(chunk.text)}\n\n"
    except AzurePhi3Error as error:
        yield f"event: end\ndata: interrupted ({type(error).__name__})\n\n"
        return
    usage = "" if tokens is None else f", {tokens['output_tokens']} tokens"
    yield f"event: end\ndata: complete{usage}\n\n"


@contextmanager
def open_model() -> Iterator[ChatAzurePhi3]:
    """Open your deployment, or else an emulator, which returns scripted responses."""
    if os.environ.get("AZURE_INFERENCE_ENDPOINT"):
        yield ChatAzurePhi3(temperature=0)
        return
    print("AZURE_INFERENCE_ENDPOINT is not set: using an emulator of Phi-3-mini-4k-instruct.\n")
    with Emulator("Phi-3-mini-4k-instruct") as phi:
        yield ChatAzurePhi3(
            endpoint=phi.endpoint, credential=phi.key, model=phi.model, temperature=0
        )


def main() -> None:
    """Run until Ctrl-C."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8080
    with open_model() as model:
        uvicorn.run(create_app(model), host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    main()
