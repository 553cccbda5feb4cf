"""Add to the site what GitHub does not show: pages for the cookbook programs, and the reference.

Each program in `docs/cookbook` becomes a page with its docstring and its code. Each comment
`<!-- reference: a.name -->`, which GitHub hides, becomes the documentation of that name. A link to
a file that is in the repository but not on the site becomes the name of the file.
"""

import ast
import re
import shutil
import tomllib
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_LINK = re.compile(r"\[([^]]*)\]\(((?:\.\./)+[^)#]+)\)")
_REFERENCE = re.compile(r"^<!-- reference: (\S+) -->$", re.MULTILINE)


_GITHUB_ONLY = "GitHub shows this page up to here. The site adds the reference from the docstrings."


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Show the version next to the name of the site, and at the foot of each page."""
    project = Path(config.docs_dir).parent / "pyproject.toml"
    version = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"]
    config.site_name = f"{config.site_name} {version}"
    config.copyright = f"{config.site_name}, MIT license"
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each cookbook program."""
    for program in sorted(Path(config.docs_dir, "cookbook").glob("*.py")):
        text = render_program(program.read_text(encoding="utf-8"), program.name)
        files.append(File.generated(config, f"cookbook/{program.stem}.md", content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Insert the reference, and replace links to files that are not on the site.

    Searches list tutorials and how-to guides before programs, the reference and explanations.
    """
    if page.file.src_uri.startswith(("learn/", "how-to/")):
        page.meta["search"] = {"boost": 2}
    root = Path(config.docs_dir).resolve()
    here = (root / page.file.src_uri).parent

    def unlink_outside(link: re.Match[str]) -> str:
        target = (here / link[2]).resolve()
        if target.is_relative_to(root) or not target.exists():
            return link[0]
        return f"{link[1]} (`{target.relative_to(root.parent)}`)"

    return _LINK.sub(unlink_outside, _REFERENCE.sub(r"::: \1", markdown.replace(_GITHUB_ONLY, "")))


def on_post_build(config: MkDocsConfig) -> None:
    """Copy the sources of the pages, which `llms.txt` links, next to the pages."""
    root = Path(config.docs_dir)
    for source in root.rglob("*.md"):
        target = Path(config.site_dir, source.relative_to(root))
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)


def render_program(code: str, name: str) -> str:
    """Render a program as Markdown; the first line of its docstring is the heading."""
    title, _, rest = (ast.get_docstring(ast.parse(code)) or name).partition("\n")
    body = code[code.index('"""', 3) + 3 :].strip()
    heading = f"# {title.rstrip('.')}\n\n{rest.strip()}\n\n"
    return f"{heading}Source: [`{name}`]({name})\n\n```py\n{body}\n```\n"
