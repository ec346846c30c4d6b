"""Looks for dead links in the pages of the repository and in the book that is made of `docs/`.

    .ci/book

A link is looked up as GitHub does it, in the pages as they lie, and once more in the built book, as a browser does it: the file must
be there, and so must the anchor. Of addresses elsewhere only the form is looked at; nothing is asked of the network. Every page of
`docs/` must be in `SUMMARY.md`, once, and mdBook must have no warning. Pages that are wrong in each of these ways come first, to see
that it is noticed. Needs Python 3.11 and mdBook, which `$MDBOOK` names.
"""

import os
import subprocess
import sys
import tempfile
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pages

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BOOK = ROOT / "target/book"


def main() -> None:
    check_wrong_pages()
    markdown = all_pages()
    links, wrong = look_at_pages(ROOT, markdown)
    wrong += look_at_summary(ROOT / "docs")
    fail(wrong)
    print(f"ok: {links} links of {len(markdown)} pages", flush=True)

    built = subprocess.run([os.environ["MDBOOK"], "build", ROOT / "docs"], stderr=subprocess.PIPE, text=True)
    fail([line for line in built.stderr.splitlines() if "WARN" in line or "ERROR" in line])
    if built.returncode != 0:
        sys.exit(built.stderr)
    links, wrong = look_at_book(BOOK)
    fail(wrong)
    print(f"ok: {links} links of the book in {BOOK}")


def all_pages() -> list[Path]:
    """Every page of the repository, but of what is built."""
    found = []
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders if name != "target" and not name.startswith(".")]
        found += [Path(folder, name) for name in files if name.endswith(".md")]
    return sorted(found)


def fail(wrong: list[str]) -> None:
    if wrong:
        sys.exit("\n".join(wrong))


def look_at_pages(root: Path, markdown: list[Path]) -> tuple[int, list[str]]:
    """How many links the pages have, and what is wrong with which."""
    known = {path: pages.read(path) for path in markdown}
    wrong = []
    for path, page in known.items():
        wrong += [f"{path.relative_to(root)}: {why}" for target in page.targets if (why := dead(path, target, known))]
    return sum(len(page.targets) for page in known.values()), wrong


def dead(page: Path, target: str, known: dict[Path, pages.Page]) -> str | None:
    """Why a link of a page leads nowhere, if it does."""
    if " " in target or "\n" in target:
        return f"{target!r} has a space"
    address = urlsplit(target)
    if address.scheme:
        return None if address.scheme == "https" and "." in address.netloc else f"{target} is no https address"
    path = Path(os.path.normpath(page.parent / unquote(address.path))) if address.path else page
    if not path.exists():
        return f"{target}: there is no such file"
    if address.fragment and address.fragment not in known.get(path, pages.Page()).anchors:
        return f"{target}: there is no such heading"
    return None


def look_at_summary(docs: Path) -> list[str]:
    listed = pages.read(docs / "SUMMARY.md").targets
    there = {str(path.relative_to(docs)) for path in docs.rglob("*.md")} - {"SUMMARY.md"}
    wrong = [f"docs/{name} is not in SUMMARY.md" for name in sorted(there - set(listed))]
    return wrong + [f"docs/{name} is in SUMMARY.md twice" for name in sorted(set(listed)) if listed.count(name) > 1]


class Built(HTMLParser):
    """A page of the book: where its links lead, and which ids it has."""

    def __init__(self, path: Path):
        super().__init__()
        self.targets: list[str] = []
        self.ids: set[str] = set()
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.ids.add(value)
            elif name in ("href", "src") and value:
                self.targets.append(value)


def look_at_book(book: Path) -> tuple[int, list[str]]:
    built = {path: Built(path) for path in sorted(book.rglob("*.html"))}
    wrong, links = [], 0
    for page, content in built.items():
        for target in content.targets:
            links += 1
            address = urlsplit(target)
            if address.scheme:
                continue
            path = Path(os.path.normpath(page.parent / unquote(address.path))) if address.path else page
            if not path.exists() or not path.is_relative_to(book):
                wrong.append(f"{page.relative_to(book)}: {target}: there is no such file in the book")
            elif address.fragment and path in built and unquote(address.fragment) not in built[path].ids:
                wrong.append(f"{page.relative_to(book)}: {target}: there is no such id")
    return links, wrong


# A page that is wrong, and what is said of it.
WRONG = {
    "[a](gone.md)": "gone.md: there is no such file",
    "![a](gone.svg)": "gone.svg: there is no such file",
    "[a](there.md#gone)": "there.md#gone: there is no such heading",
    "[a](#gone)": "#gone: there is no such heading",
    "[a][b]\n\n[b]: gone.md": "gone.md: there is no such file",
    "[a](http://example.com/)": "http://example.com/ is no https address",
    "[a](https://example.com/a b)": "'https://example.com/a b' has a space",
    "[a](there.md#twice-2)": "there.md#twice-2: there is no such heading",
}
RIGHT = "[a](there.md#a-heading-of-code) [b](there.md#twice-1) `[c](gone.md)` <https://example.com/>\n\n```\n[d](gone.md)\n```\n"


def check_wrong_pages() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        docs = Path(scratch)
        page, there = docs / "page.md", docs / "there.md"
        there.write_text("# A *heading*, of `code`\n\n## Twice\n\n## Twice\n")
        for text, said in (WRONG | {RIGHT: None}).items():
            page.write_text(text)
            _, wrong = look_at_pages(docs, [page, there])
            want = [f"page.md: {said}"] if said else []
            assert wrong == want, f"{text!r}: {wrong} is said, not {want}"
        (docs / "SUMMARY.md").write_text("[a](page.md)\n[b](page.md)\n")
        wrong = look_at_summary(docs)
        assert wrong == ["docs/there.md is not in SUMMARY.md", "docs/page.md is in SUMMARY.md twice"], wrong
        (docs / "page.html").write_text('<p id="a"><a href="#a">a</a><a href="#b">b</a><img src="gone.png"></p>')
        _, wrong = look_at_book(docs)
        want = ["page.html: #b: there is no such id", "page.html: gone.png: there is no such file in the book"]
        assert wrong == want, wrong


main()
