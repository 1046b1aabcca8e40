"""What mkdocs does besides: pages from the top of the repository, and links for plain mentions.

Texts of this repository name a page as `docs/bom.md`, or `docs/bom.md, "Includes"`, which reads
well in an editor. On the site each is a link with the page's title, which mkdocs then checks.
"""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Files of the repository that are pages, too: name -> page.
TOP = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "README.md": "readme.md",
    "SECURITY.md": "security.md",
}
FENCE = re.compile(r"^ *(```+|~~~+)")
CODE = r"(?P<code>(`+).+?\2)"
LINK = r"\[(?P<text>[^\[\]]*)\]\((?P<target>[^)\s]+)\)"
NAME = r"docs/[\w/-]+\.md|(?:CHANGELOG|CONTRIBUTING|README|SECURITY)\.md"
PLAIN = rf'(?<![\w/.\[-])(?P<page>{NAME})(?![\w/])(?P<section>,?\s+\(?"(?P<heading>[^"]+)"\)?)?'
MENTION = re.compile(rf"{CODE}|{LINK}|{PLAIN}", re.DOTALL)


@dataclass(frozen=True)
class Text:
    """What links need of a page: its title, and its headings to their anchors."""

    title: str
    anchors: Mapping[str, str]

    @classmethod
    def of(cls, markdown: str) -> Text:
        headings = [line for is_code, line in _lines(markdown) if not is_code and line[:1] == "#"]
        names = [heading.lstrip("#").strip() for heading in headings]
        return cls(_plain(names[0]) if names else "", {_plain(one): slug(one) for one in names})


_pages: dict[str, Text] = {}


def on_files(files: Any, config: Any) -> Any:
    """Add the pages from the top of the repository, and look at the titles of all."""
    from mkdocs.structure.files import File  # pants: no-infer-dep

    root = Path(config["config_file_path"]).parent
    for name, page in TOP.items():
        if files.get_file_from_path(page) is None:
            text = (root / name).read_text(encoding="utf-8")
            files.append(File.generated(config, page, content=text))
    _pages.clear()
    _pages.update((one.src_uri, Text.of(one.content_string)) for one in files.documentation_pages())
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Make links of the mentions."""
    return linked(markdown, page.file.src_uri, _pages)


def linked(markdown: str, here: str, pages: Mapping[str, Text]) -> str:
    """The text of the page `here` with a link for each mention of another page outside of code."""
    parts: list[str] = []
    prose: list[str] = []
    for is_code, line in _lines(markdown):
        if not is_code:
            prose.append(line)
            continue
        parts += [_with_links("\n".join([*prose, ""]), here, pages)] if prose else []
        prose.clear()
        parts.append(f"{line}\n")
    return "".join(parts) + _with_links("\n".join(prose), here, pages)


def mentioned(markdown: str) -> Iterator[tuple[str, str, str]]:
    """What the text outside of code leads to: targets of links, and mentions with their sections.

    A section follows after a comma; in parentheses it may also be words of the page.
    """
    prose = "\n".join(line for is_code, line in _lines(markdown) if not is_code)
    for match in MENTION.finditer(prose):
        if not match["code"]:
            is_section = (match["section"] or "").startswith(",")
            heading = " ".join((match["heading"] or "").split()) if is_section else ""
            yield match["target"] or "", match["page"] or "", heading


def slug(heading: str) -> str:
    """The anchor of a heading, as Python-Markdown's `toc` makes it."""
    plain = unicodedata.normalize("NFKD", _plain(heading)).encode("ascii", "ignore").decode()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower())


def _lines(markdown: str) -> Iterator[tuple[bool, str]]:
    """Each line, and whether it is code by a fence or its indentation."""
    fence, after_blank, indented = "", True, False
    for line in markdown.split("\n"):
        found = FENCE.match(line)
        if fence:
            yield True, line
            if found and found[1].startswith(fence):
                fence = ""
            continue
        if found:
            fence = found[1]
            yield True, line
            continue
        indented = line.startswith("    ") and (after_blank or indented)
        after_blank = not line.strip()
        yield indented, line


def _with_links(text: str, here: str, pages: Mapping[str, Text]) -> str:
    def link(match: re.Match[str]) -> str:
        if match["code"]:
            # In a table others want a bar in code escaped; Python-Markdown shows the backslash.
            return match[0].replace("\\|", "|")
        if match["target"]:
            target = _target(match["target"], here)
            return f"[{match['text']}]({target})" if target else _unlinked(match, here)
        return _mention(match, here, pages)

    return MENTION.sub(link, text)


def _mention(match: re.Match[str], here: str, pages: Mapping[str, Text]) -> str:
    page = _page(match["page"])
    if page == here:
        return match[0]
    title = pages[page].title if page in pages else page
    target = posixpath.relpath(page, posixpath.dirname(here) or ".")
    heading = " ".join((match["heading"] or "").split())
    if page not in pages or heading not in pages[page].anchors:
        return f"[{title}]({target}){match['section'] or ''}"
    before, _, after = match["section"].partition(f'"{match["heading"]}"')
    anchor = pages[page].anchors[heading]
    return f'[{title}]({target}){before}"[{heading}]({target}#{anchor})"{after}'


def _target(target: str, here: str) -> str:
    """The target of a link, for one to or from the top of the repository its page; "" if none."""
    path, mark, anchor = target.partition("#")
    if ":" in path or not path:
        return target
    in_repository = _in_repository(path, here)
    if in_repository in TOP or in_repository.startswith("docs/"):
        directory = posixpath.dirname(here) or "."
        return posixpath.relpath(_page(in_repository), directory) + mark + anchor
    return ""


def _unlinked(match: re.Match[str], here: str) -> str:
    """What stands for a link to a file of the repository that is on no page."""
    path = _in_repository(match["target"], here)
    return match["text"] if match["text"] == path else f"{match['text']} (`{path}`)"


def _in_repository(path: str, here: str) -> str:
    start = "" if here in TOP.values() else posixpath.join("docs", posixpath.dirname(here))
    return posixpath.normpath(posixpath.join(start, path))


def _page(name: str) -> str:
    return TOP.get(name) or name[len("docs/") :]


def _plain(heading: str) -> str:
    return heading.replace("`", "").strip()
