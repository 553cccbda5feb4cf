"""`langchain-azure-phi3 chat`: a conversation in the terminal."""

import argparse
import sys
from collections.abc import Callable
from contextlib import suppress

from langchain_core.messages import AIMessage, BaseMessage, SystemMessage

from langchain_azure_phi3._cli import print_error
from langchain_azure_phi3._cli.options import format_usage, make_model, user_message
from langchain_azure_phi3.chat_models import ChatAzurePhi3
from langchain_azure_phi3.errors import AzurePhi3Error, ContextLengthError

_HELP = """\
/image PATH    add an image (a file or a URL) to the next message; without PATH, remove all
/system TEXT   set the system message; without TEXT, remove it
/reset         forget the conversation, but not the system message
/usage         print the token counts of the last response
/help          print this help
/exit          exit, like Ctrl-D
Ctrl-C stops a response; the conversation keeps the text received so far."""


def chat(options: argparse.Namespace) -> int:
    """Read messages until the end of the input, and print each response as it arrives.

    Raises:
        AzurePhi3Error: The options are not valid.
        OSError: An image file cannot be read.
    """
    _enable_line_editing()
    user_message("", options.image)  # reports a wrong file now
    conversation = _Conversation(make_model(options), options.system, options.image)
    if sys.stdin.isatty():
        print("Type a message, /help for commands, or Ctrl-D to exit.")
    while True:
        try:
            line = input("> " if sys.stdin.isatty() else "").strip()
        except EOFError:
            print()
            return 0
        except KeyboardInterrupt:
            print("\nPress Ctrl-D or type /exit to exit.")
            continue
        if line in ("/exit", "/quit"):
            return 0
        if line:
            conversation.handle(line)


def _enable_line_editing() -> None:
    # Importing it gives input() history and editing. Windows has its own.
    with suppress(ImportError):
        import readline  # noqa: F401


class _Conversation:
    """The messages so far, and the images for the next one."""

    def __init__(self, model: ChatAzurePhi3, system: str | None, images: list[str]) -> None:
        self._model = model
        self._system = system
        self._images = images
        self._history: list[BaseMessage] = []
        self._usage: object = None

    def handle(self, line: str) -> None:
        """Run a command, or send a message."""
        if not line.startswith("/"):
            self._send(line)
            return
        name, _, argument = line.partition(" ")
        commands: dict[str, Callable[[str], str]] = {
            "/image": self._add_image,
            "/system": self._set_system,
            "/reset": self._reset,
            "/usage": lambda _: format_usage(self._usage),
            "/help": lambda _: _HELP,
        }
        command = commands.get(name)
        if command is None:
            print_error(f"There is no command {name}. /help lists the commands.")
        else:
            print(command(argument.strip()))

    def _add_image(self, source: str) -> str:
        if not source:
            self._images.clear()
            return "The next message has no image. Add one with /image PATH."
        try:
            user_message("", [source])  # reports a wrong file immediately
        except (AzurePhi3Error, OSError, ImportError) as error:
            return f"The image was not added: {error}"
        self._images.append(source)
        return "The image is sent with your next message."

    def _set_system(self, text: str) -> str:
        self._system = text or None
        return "The system message is set." if text else "The system message is removed."

    def _reset(self, _: str) -> str:
        self._history.clear()
        self._images.clear()
        return "The conversation is forgotten."

    def _send(self, text: str) -> None:
        try:
            question = user_message(text, self._images)
            system = [SystemMessage(self._system)] if self._system else []
            answer = self._print_answer([*system, *self._history, question])
        except ContextLengthError as error:
            print_error(f"{error} /reset starts a new conversation.")
        except (AzurePhi3Error, OSError) as error:
            images = " /image removes the images from the next message." if self._images else ""
            print_error(f"{type(error).__name__}: {error}{images}")
        else:
            self._images.clear()
            # The server would reject an assistant message without text.
            if answer:
                self._history += [question, AIMessage(answer)]

    def _print_answer(self, messages: list[BaseMessage]) -> str:
        """Print a response, and return its text; after Ctrl-C, the text received so far."""
        answer = ""
        self._usage = None
        try:
            for chunk in self._model.stream(messages):
                answer += chunk.text  # first: Ctrl-C may come after it is seen
                print(chunk.text, end="", flush=True)
                self._usage = chunk.usage_metadata or self._usage
        except KeyboardInterrupt:
            print(" [stopped]", end="")
        finally:
            print()
        return answer
