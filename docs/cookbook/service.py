"""A page that shows the answer as it is written.

One model serves all requests. If the reader leaves, FastAPI cancels the response, the stream is
closed, and the deployment stops writing. What goes wrong before the first word is an HTTP status,
what goes wrong later is the last event.

```bash
pip install "langchain-azure-phi3[emulator]" fastapi uvicorn
python docs/cookbook/service.py 8080      # then open http://127.0.0.1:8080
```
"""

import json
import sys
from collections.abc import AsyncIterator

import uvicorn
from deployment import deployment
from fastapi import FastAPI, HTTPException
from fastapi.responses import HTMLResponse, StreamingResponse

from langchain_azure_phi3 import AzurePhi3Error, ChatAzurePhi3, ContentFilterError, RateLimitError

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
  answer.textContent = ""; state.textContent = "asking";
  source = new EventSource("/answer?question=" + encodeURIComponent(question));
  source.onmessage = event => { answer.textContent += JSON.parse(event.data); };
  source.addEventListener("end", event => { state.textContent = event.data; source.close(); });
  source.onerror = () => { state.textContent = "refused or interrupted"; source.close(); };
}
form.onsubmit = event => { event.preventDefault(); ask(form.question.value); };
const given = new URLSearchParams(location.search).get("question");
if (given) ask(form.question.value = given);
</script></html>
"""


def app_for(model: ChatAzurePhi3) -> FastAPI:
    """The service: a page, and the answers that it shows."""
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
            raise HTTPException(429, "Too many questions at once.", headers) from error
        except AzurePhi3Error as error:
            raise HTTPException(502, "The model did not answer.") from error
        return StreamingResponse(_events(first.text, chunks), media_type="text/event-stream")

    return app


async def _events(first: str, chunks: AsyncIterator) -> AsyncIterator[str]:
    """The answer as server-sent events, ended by one that says how it ended."""
    yield f"data: {json.dumps(first)}\n\n"
    tokens = None
    try:
        async for chunk in chunks:
            tokens = chunk.usage_metadata or tokens
            yield f"data: {json.dumps(chunk.text)}\n\n"
    except AzurePhi3Error as error:
        yield f"event: end\ndata: interrupted ({type(error).__name__})\n\n"
        return
    counted = "" if tokens is None else f", {tokens['output_tokens']} tokens"
    yield f"event: end\ndata: complete{counted}\n\n"


def main() -> None:
    """Serve until Ctrl-C."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8080
    with deployment() as model:
        uvicorn.run(app_for(model), host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    main()
