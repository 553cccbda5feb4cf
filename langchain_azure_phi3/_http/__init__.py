"""Wire JSON to the network and back. Nothing here knows LangChain's messages."""
