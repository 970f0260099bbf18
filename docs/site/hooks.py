"""Hooks that adapt these pages to MkDocs; they are written to be read in a clone and on GitHub as well."""

from __future__ import annotations

import posixpath
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REPOSITORY = PROJECT["urls"]["Repository"]
OUTSIDE = {"CHANGELOG.md": "changelog.md", "benchmarks/README.md": "benchmarks.md", "README.md": "index.md"}
"""Files outside docs that have a page on the site; links to other files lead to the repository."""

sys.path.insert(0, str(Path(__file__).parent))
from reference import BLOCK  # noqa: E402 - found only on the path that was set above

_FENCE = re.compile(r"^(`{3,}).*?^\1$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(\]\()([^)\s]+)(\))")
_SITE_ONLY = re.compile(r"<!-- on the site: (.*?) -->")
_NOT_ON_THE_SITE = re.compile(r"<!-- not on the site -->.*?<!-- end -->\n", re.DOTALL)
_LOADED = re.compile(
    r"""<(?:script|img|iframe|source)\b[^>]*\bsrc=["']?https?://|<link\b(?![^>]*rel=["']?canonical)[^>]*href=["']?https?://"""
    r"""|class=["'][^"']*\bmermaid\b"""  # the theme would fetch Mermaid from another host
)


def slug(text: str, separator: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", separator)


def on_config(config: Any) -> Any:
    """Give headings the anchors that they have on GitHub, and show the version."""
    config.mdx_configs.setdefault("toc", {})["slugify"] = slug
    config.copyright = f"agent-datastore {PROJECT['version']}, <a href='{REPOSITORY}'>source</a>, Apache-2.0"
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are outside docs."""
    for source in ("CHANGELOG.md", "benchmarks/README.md"):
        text = (ROOT / source).read_text(encoding="utf-8")
        nested = re.sub(r"^  (- |  )", r"    \1", text, flags=re.MULTILINE)  # Python-Markdown nests by four spaces
        files.append(File.generated(config, OUTSIDE[source], content=nested))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Turn markup that only GitHub understands into markup that the site understands."""
    markdown = BLOCK.sub(_as_directive, markdown)
    markdown = _NOT_ON_THE_SITE.sub("", _SITE_ONLY.sub(r"\1", markdown))
    parts, last = [], 0
    for fence in _FENCE.finditer(markdown):
        parts += [_prose(markdown[last : fence.start()], page.file.src_uri), _fence(fence[0])]
        last = fence.end()
    return "".join([*parts, _prose(markdown[last:], page.file.src_uri)])


def on_post_page(output: str, page: Any, config: Any) -> str:
    """Refuse a page that makes a browser load something from another host."""
    found = _LOADED.search(output)
    if found:
        raise PluginError(f"{page.file.src_uri} loads something from another host: {found[0]}")
    return output


def _as_directive(block: re.Match[str]) -> str:
    """Let mkdocstrings show the docstring, with types and links."""
    options = "show_root_heading: false\n      show_root_toc_entry: false\n      members: false"
    return f"::: {block[1]}\n    options:\n      {options}\n\n"


def _fence(text: str) -> str:
    return re.sub(r"^(`{3,}\w+) .*", r"\1", text, count=1)


def _prose(text: str, source: str) -> str:
    lines = [re.sub(r"\\\|", "|", line) if line.startswith("|") and "`" in line else line for line in text.split("\n")]
    return _LINK.sub(lambda link: link[1] + _target(link[2], source) + link[3], "\n".join(lines))


def _target(target: str, source: str) -> str:
    """Return the target of a link on the site: a file outside docs is a page of the site, or in the repository."""
    path, _, anchor = target.partition("#")
    if not path or "://" in path or path.startswith("mailto:"):
        return target
    folder = (
        "benchmarks"
        if source == "benchmarks.md"
        else ""
        if source == "changelog.md"
        else f"docs/{posixpath.dirname(source)}"
    )
    found = posixpath.normpath(posixpath.join(folder, path))
    if found in OUTSIDE and not (found == "README.md" and anchor):
        to = OUTSIDE[found]
    elif found.startswith("docs/") and (ROOT / found).is_file():
        to = found.removeprefix("docs/")
    else:
        return f"{REPOSITORY}/blob/main/{found}" + (f"#{anchor}" if anchor else "")
    return posixpath.relpath(to, posixpath.dirname(source) or ".") + (f"#{anchor}" if anchor else "")
