"""What a Markdown page has that links lead from and to, as GitHub reads it."""

import re
from dataclasses import dataclass, field
from pathlib import Path

FENCE = re.compile(r"^ *(```+|~~~+).*?^ *\1[`~]*$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)", re.DOTALL)
# `[text](target)` and `![text](target)`, perhaps with a title; the text may have brackets in pairs.
INLINE = re.compile(r"!?\[(?P<text>(?:[^\[\]]|\[[^\[\]]*\])*)\]\((?P<target>[^()]*(?:\([^()]*\)[^()]*)*)\)")
DEFINED = re.compile(r"^ {0,3}\[(?P<name>[^\]]+)\]: *(?P<target>\S.*)$", re.MULTILINE)
AUTOMATIC = re.compile(r"<(?P<target>[a-z]+://[^>]*)>")
HEADING = re.compile(r"^#{1,6} +(?P<text>.*?)(?: +#+)?$", re.MULTILINE)


@dataclass
class Page:
    targets: list[str] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)


def blank(match: re.Match) -> str:
    """As many lines, with nothing on them: what is code has no links."""
    return re.sub(r"[^\n]", " ", match[0])


def read(path: Path) -> Page:
    text = FENCE.sub(blank, path.read_text())
    page = Page()
    for heading in HEADING.finditer(text):
        page.anchors.add(free(slug(heading["text"]), page.anchors))
    text = CODE.sub(blank, text)
    found = [*INLINE.finditer(text), *DEFINED.finditer(text), *AUTOMATIC.finditer(text)]
    page.targets = [match["target"].strip() for match in found]
    return page


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading: https://github.com/gjtorikian/html-pipeline does it so."""
    text = INLINE.sub(lambda match: match["text"], heading)
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")


def free(anchor: str, taken: set[str]) -> str:
    """A heading that comes again has a number behind it."""
    names = [anchor, *(f"{anchor}-{n}" for n in range(1, len(taken) + 1))]
    return next(name for name in names if name not in taken)
