"""What is asked, and the only right answer to it."""

import random
from dataclasses import dataclass

MODEL = "Phi-3-mini-4k-instruct"
# What the emulator's stand-in says to whatever it does not know: that, and the question.
_ANSWER = "I am a scripted stand-in for Phi-3-mini-4k-Instruct. Messages: 1 (user). You said: {}"
_WORDS = ("Grüße", "der", "whale", "鯨", "swims", "слон", "the", "sea", "😀", "to", "and", "on")


@dataclass(frozen=True, slots=True)
class Ask:
    """One question, unlike any other.

    Attributes:
        number: Its place in the run, with which the question begins.
        question: Some words.
        is_streamed: Whether the answer comes in pieces.
    """

    number: int
    question: str
    is_streamed: bool

    @property
    def answer(self) -> str:
        """What the emulator's stand-in says to this question, and to no other."""
        return _ANSWER.format(self.question)


def ask(number: int, seed: int) -> Ask:
    """The question of this number, always the same for the same seed."""
    lots = random.Random(f"{seed} {number}")
    words = lots.choices(_WORDS, k=lots.randint(3, 30))
    question = " ".join((f"{number}", f"{lots.getrandbits(64):016x}", *words))
    return Ask(number, question, number % 2 == 1)


def number_of(question: str) -> int:
    """The number that a question begins with."""
    return int(question.partition(" ")[0])
