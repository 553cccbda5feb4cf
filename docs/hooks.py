"""What the site needs and GitHub must not show: the cookbook's programs and the reference.

A program of `docs/cookbook` becomes a page: its docstring, then its code. A comment
`<!-- reference: a.name -->`, which GitHub hides, becomes the name's documentation. A link to a file
of the repository that is not on the site becomes the file's name.
"""

import ast
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_LINK = re.compile(r"\[([^]]*)\]\(((?:\.\./)+[^)#]+)\)")
_REFERENCE = re.compile(r"^<!-- reference: (\S+) -->$", re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each program."""
    for program in sorted(Path(config.docs_dir, "cookbook").glob("*.py")):
        text = page_of(program.read_text(encoding="utf-8"), program.name)
        files.append(File.generated(config, f"cookbook/{program.stem}.md", content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put the documentation of a name where the comment stands, and name what has no page."""
    root = Path(config.docs_dir).resolve()
    here = (root / page.file.src_uri).parent

    def named(link: re.Match[str]) -> str:
        target = (here / link[2]).resolve()
        if target.is_relative_to(root) or not target.exists():
            return link[0]
        return f"{link[1]} (`{target.relative_to(root.parent)}`)"

    return _LINK.sub(named, _REFERENCE.sub(r"::: \1", markdown))


def page_of(code: str, name: str) -> str:
    """A program as Markdown: the first line of its docstring is the heading."""
    title, _, rest = (ast.get_docstring(ast.parse(code)) or name).partition("\n")
    below = code[code.index('"""', 3) + 3 :].strip()
    heading = f"# {title.rstrip('.')}\n\n{rest.strip()}\n\n"
    return f"{heading}[`{name}`]({name}), as the tests run it:\n\n```py\n{below}\n```\n"
