"""The sync and async classes are the same: the async one, with await removed, is the sync one."""

import ast
import inspect

from langchain_azure_phi3 import chat_models
from langchain_azure_phi3._http import endpoint, transfer

# Every name in which the two may differ. What is not here must be equal.
NAMES = {
    "AsyncEndpoint": "Endpoint",
    "AsyncStream": "Stream",
    "AsyncClient": "Client",
    "AsyncLeanClient": "LeanClient",
    "AsyncExitStack": "ExitStack",
    "BorrowedAsyncClient": "BorrowedClient",
    "AiohttpTransport": "BaseTransport",
    "handle_async_request": "handle_request",
    "enter_async_context": "enter_context",
    "push_async_callback": "callback",
    "AsyncGenerator": "Generator",
    "AsyncIterator": "Iterator",
    "AsyncCallbackManagerForLLMRun": "CallbackManagerForLLMRun",
    "__aiter__": "__iter__",
    "aiter": "iter",
    "aiter_body": "iter_body",
    "aread_error": "read_error",
    "afinish": "finish",
    "sign_async": "sign",
    "areserve": "reserve",
    "acancel": "cancel",
    "aclosing": "closing",
    "aclose": "close",
    "asyncio": "time",
    "async_": "sync",
    "_abuild_request": "_build_request",
    "_agenerate": "_generate",
    "_astream": "_stream",
    "_astream_chat_model_events": "_stream_chat_model_events",
    "aget_model_info": "get_model_info",
}


class _InSync(ast.NodeTransformer):
    """Async syntax as the sync syntax that does the same; docstrings are dropped."""

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self.visit_FunctionDef(ast.FunctionDef(**dict(ast.iter_fields(node))))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.name = NAMES.get(node.name, node.name)
        return self._without_docstring(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.name = NAMES.get(node.name, node.name)
        return self._without_docstring(node)

    def visit_AsyncFor(self, node: ast.AsyncFor) -> ast.AST:
        return self.visit(ast.For(**dict(ast.iter_fields(node))))

    def visit_AsyncWith(self, node: ast.AsyncWith) -> ast.AST:
        return self.visit(ast.With(**dict(ast.iter_fields(node))))

    def visit_comprehension(self, node: ast.comprehension) -> ast.AST:
        self.generic_visit(node)
        return ast.comprehension(node.target, node.iter, node.ifs, is_async=0)

    def visit_Await(self, node: ast.Await) -> ast.AST:
        return self.visit(node.value)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Name(NAMES.get(node.id, node.id), node.ctx)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        """Annotations may be in quotes."""
        return ast.Constant(
            NAMES.get(node.value, node.value) if isinstance(node.value, str) else node.value
        )

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        return ast.Attribute(self.visit(node.value), NAMES.get(node.attr, node.attr), node.ctx)

    def visit_For(self, node: ast.For) -> ast.AST:
        """`for x in xs: yield x` is `yield from xs`, which async generators do not have."""
        self.generic_visit(node)
        match node:
            case ast.For(
                target=ast.Name(id=target),
                body=[ast.Expr(ast.Yield(ast.Name(id=given)))],
                orelse=[],
            ) if target == given:
                return ast.Expr(ast.YieldFrom(node.iter))
        return node

    def _without_docstring(self, node: ast.FunctionDef | ast.ClassDef) -> ast.AST:
        self.generic_visit(node)
        if ast.get_docstring(node) is not None:
            node.body = node.body[1:]
        return node


def in_sync(source: str, *path: str) -> str:
    """The definition at `path` in a module's source, as sync text."""
    found: ast.AST = ast.parse(source)
    for name in path:
        found = next(
            node for node in ast.iter_child_nodes(found) if getattr(node, "name", None) == name
        )
    return ast.unparse(ast.fix_missing_locations(_InSync().visit(found)))


PAIRS = [
    (endpoint, ("Endpoint",), ("AsyncEndpoint",)),
    (endpoint, ("Stream",), ("AsyncStream",)),
    (transfer, ("iter_body",), ("aiter_body",)),
    (transfer, ("read_error",), ("aread_error",)),
    (transfer, ("close",), ("aclose",)),
    (chat_models, ("ChatAzurePhi3", "_generate"), ("ChatAzurePhi3", "_agenerate")),
    (chat_models, ("ChatAzurePhi3", "_stream"), ("ChatAzurePhi3", "_astream")),
    (
        chat_models,
        ("ChatAzurePhi3", "_stream_chat_model_events"),
        ("ChatAzurePhi3", "_astream_chat_model_events"),
    ),
    (chat_models, ("ChatAzurePhi3", "get_model_info"), ("ChatAzurePhi3", "aget_model_info")),
]


def test_async_code_mirrors_sync_code() -> None:
    """Nothing but the names in the table differs."""
    for module, sync, asynchronous in PAIRS:
        source = inspect.getsource(module)
        assert in_sync(source, *asynchronous) == in_sync(source, *sync)


def test_a_change_to_one_half_is_noticed() -> None:
    """The comparison can fail: each of these edits the async class only."""
    for was, becomes in [
        ("if state.record_failure(failure):", "if not state.record_failure(failure):"),
        ("follow_redirects=False", "follow_redirects=True"),
        ("await transfer.aclose(response, pieces)", "await transfer.aclose(response)"),
        ("if decoder.done:", "if not decoder.done:"),
    ]:
        source = inspect.getsource(endpoint)
        start = source.index("class AsyncEndpoint")
        assert was in source[start:]
        altered = source[:start] + source[start:].replace(was, becomes, 1)
        assert any(
            in_sync(altered, f"Async{name}") != in_sync(altered, name)
            for name in ("Endpoint", "Stream")
        )


def test_only_plain_loops_count_as_yield_from() -> None:
    """Only the exact long form of `yield from` is taken for it."""
    source = "async def f():\n    for x in xs:\n        yield g(x)\n"
    assert "yield from" not in in_sync(source, "f")
