"""The questions, and the only right answer to each."""

import random
from dataclasses import dataclass

MODEL = "Phi-3-mini-4k-instruct"
# The default answer of the emulator ends with the question.
_ANSWER = "I am a scripted stand-in for Phi-3-mini-4k-Instruct. Messages: 1 (user). You said: {}"
_WORDS = ("Grüße", "der", "whale", "鯨", "swims", "слон", "the", "sea", "😀", "to", "and", "on")


@dataclass(frozen=True, slots=True)
class Question:
    """A question that occurs once.

    Attributes:
        number: Its place in the run; the text begins with it.
        text: Some words.
        is_streamed: Whether the answer is streamed.
    """

    number: int
    text: str
    is_streamed: bool

    @property
    def answer(self) -> str:
        """The emulator's answer to this question and to no other."""
        return _ANSWER.format(self.text)


def make_question(number: int, seed: int) -> Question:
    """Return the question with this number, always the same for the same seed."""
    rng = random.Random(f"{seed} {number}")
    words = rng.choices(_WORDS, k=rng.randint(3, 30))
    text = " ".join((f"{number}", f"{rng.getrandbits(64):016x}", *words))
    return Question(number, text, is_streamed(number))


def is_streamed(number: int) -> bool:
    """Return whether the answer to the question with this number is streamed."""
    return number % 2 == 1


def parse_number(text: str) -> int:
    """Return the number that a question begins with."""
    return int(text.partition(" ")[0])
