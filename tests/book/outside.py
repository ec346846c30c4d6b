"""A preprocessor of mdBook: of links to files of the repository that are no pages of the book, only the text is left.

On GitHub such a link leads somewhere; in the book, which lies elsewhere, it would be dead.
mdBook asks `supports FORMAT` first, and then sends `[context, book]` as JSON.
"""

import json
import posixpath
import sys
from collections.abc import Iterator

from pages import INLINE


def leaves(page: str, target: str) -> bool:
    return "://" not in target and posixpath.normpath(posixpath.join(posixpath.dirname(page), target)).startswith("../")


def chapters(items: list) -> Iterator[dict]:
    for chapter in (item["Chapter"] for item in items if isinstance(item, dict) and "Chapter" in item):
        yield chapter
        yield from chapters(chapter["sub_items"])


if sys.argv[1:2] != ["supports"]:
    _, book = json.load(sys.stdin)
    for chapter in chapters(book["items"]):
        page = chapter["source_path"]
        chapter["content"] = INLINE.sub(
            lambda link: link["text"] if leaves(page, link["target"]) else link[0], chapter["content"]
        )
    json.dump(book, sys.stdout)
