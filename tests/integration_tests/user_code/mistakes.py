"""A user's program with one mistake in each marked line, which type checkers find."""

from pydantic import BaseModel

from langchain_azure_phi3 import ChatAzurePhi3, NoSuchName  # mistake
from langchain_azure_phi3.emulator import Emulator


class Person(BaseModel):
    name: str


model = ChatAzurePhi3(temperatures=0)  # mistake
model.get_model_info().no_such_field  # mistake
model.with_structured_output(Person).invoke("Ann").age  # mistake
ChatAzurePhi3(system_message_mode="always")  # mistake
Emulator(server_type="managed-2023")  # mistake
Emulator(model_errors="lies")  # mistake
Emulator(framing="lf")  # mistake
Emulator().inject_model_error("lies")  # mistake
Emulator().fail("lie")  # mistake
