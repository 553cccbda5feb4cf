"""Makes `init_chat_model("azure_phi3:...")` in langchain create a `ChatAzurePhi3`."""

from langchain_azure_phi3._response.content_blocks import PROVIDER


def register_provider() -> None:
    """Add the provider `azure_phi3` to langchain's `init_chat_model`, in this process.

    Functions that accept such names, such as `create_agent`, then accept it too. LangChain has no
    public API for this: the function adds a row to a private table of providers. If a release of
    langchain has a different table, it raises an error and changes nothing.

    Raises:
        ImportError: The package langchain is missing, or has no table of the known form.
    """
    from langchain.chat_models import base

    table = getattr(base, "_BUILTIN_PROVIDERS", None)
    row = table.get("openai") if isinstance(table, dict) else None
    if table is None or not isinstance(row, tuple) or row[:2] != ("langchain_openai", "ChatOpenAI"):
        raise ImportError(
            "This release of langchain has no table of providers that azure_phi3 can be added to. "
            "Create the model with ChatAzurePhi3(model=...) instead."
        )
    # The rest of the row makes LangChain call the class with the model's name and the arguments.
    table[PROVIDER] = ("langchain_azure_phi3", "ChatAzurePhi3", *row[2:])
