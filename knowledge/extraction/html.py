"""HTML: what a reader would see of its main part, with headings as Markdown writes them. Nothing of it is run."""

import re
from typing import Any

from knowledge.extraction.base import Text, one_line
from knowledge.extraction.plain import decode

UNSEEN = frozenset(
    {
        "audio", "button", "canvas", "embed", "head", "iframe", "input", "math", "nav", "noscript", "object",
        "script", "select", "style", "svg", "template", "video"
    }
)  # fmt: skip
BLOCKS = frozenset(
    {
        "address", "article", "aside", "blockquote", "body", "caption", "dd", "details", "div", "dl", "dt",
        "fieldset", "figcaption", "figure", "footer", "form", "header", "hr", "li", "main", "ol", "p",
        "section", "summary", "table", "tbody", "tfoot", "thead", "tr", "ul"
    }
)  # fmt: skip
CELLS = frozenset({"td", "th"})
HEADINGS = {f"h{level}": level for level in range(1, 7)}
# What a page is about: the first of these that the page has one of, apart from those within another.
MAINS = ("main, [role=main]", "article")
DECLARED = re.compile(rb"<meta[^>]{0,200}?charset=[\"']?([A-Za-z0-9_.:-]{1,40})", re.IGNORECASE)
SPACE = re.compile(r"\s+")
MARKUP = re.compile(r"^(#{1,6}\s|```|~~~)")


def read(content: bytes, charset: str = "", language: str = "") -> Text:
    """Return the page's text and title. ``charset`` is the one that it came with, and counts before its own."""
    from selectolax.lexbor import LexborHTMLParser

    declared = DECLARED.search(content, 0, 4096)
    tree = LexborHTMLParser(decode(content, charset or (declared[1].decode() if declared else ""), language))
    title = tree.css_first("title")
    writer = _Writer()
    root = next(filter(None, (_only(tree, selector) for selector in MAINS)), tree.body)
    if root is not None:
        writer.walk(root)
    return Text(writer.text(), one_line(title.text()) if title else "")


def _only(tree: Any, selector: str) -> Any:
    """Return the one element that suits a selector, not counting those within another; None if there are more."""
    matches = {node.mem_id: node for node in tree.css(selector)}
    outermost = []
    for node in matches.values():
        above = node.parent
        while above is not None and above.mem_id not in matches:
            above = above.parent
        if above is None:
            outermost.append(node)
            if len(outermost) > 1:
                return None
    return outermost[0] if outermost else None


class _Writer:
    """Puts down blocks of text, one after the other."""

    def __init__(self) -> None:
        self.blocks: list[str] = []
        self.words: list[str] = []
        self.level = 0
        self.verbatim = 0

    def walk(self, root: Any) -> None:
        """Go through the elements without recursion, since they may be nested without end."""
        node = root
        while node is not None:
            if node.tag == "-text":
                text = node.text_content or ""
                self.words.append(text if self.verbatim else SPACE.sub(" ", text))
            elif node.tag not in UNSEEN and not _decoration(node):
                self.enter(node.tag)
                if node.child is not None:
                    node = node.child
                    continue
                self.leave(node.tag)
            while node is not None and node.next is None and node.mem_id != root.mem_id:
                node = node.parent
                if node is not None:
                    self.leave(node.tag)
            if node is None or node.mem_id == root.mem_id:
                break
            node = node.next
        self.end_block()

    def enter(self, tag: str) -> None:
        """Begin an element."""
        if tag in BLOCKS or tag in HEADINGS or tag == "pre":
            self.end_block()
        if tag in HEADINGS:
            self.level = HEADINGS[tag]
        elif tag == "pre":
            self.verbatim += 1
        elif tag == "br":
            self.words.append("\n")
        elif tag == "li":
            self.words.append("- ")

    def leave(self, tag: str) -> None:
        """End an element."""
        if tag in BLOCKS or tag in HEADINGS or tag == "pre":
            self.end_block()
        if tag in HEADINGS:
            self.level = 0
        elif tag == "pre":
            self.verbatim -= 1
        elif tag in CELLS:
            self.words.append(" | ")

    def end_block(self) -> None:
        """Put down what was gathered."""
        text, self.words = "".join(self.words), []
        if self.verbatim:
            if text.strip():
                self.blocks.append(f"```\n{text.strip(chr(10))}\n```")
            return
        lines = [one_line(line).removesuffix(" |") for line in text.split("\n")]
        text = "\n".join(line for line in lines if line)
        if not text.strip("- "):
            return
        if self.level:
            self.blocks.append(f"{'#' * self.level} {one_line(text)}")
        else:
            self.blocks.append("\n".join(f"\\{line}" if MARKUP.match(line) else line for line in text.split("\n")))

    def text(self) -> str:
        """Return all blocks."""
        return "\n\n".join(self.blocks)


def _decoration(node: Any) -> bool:
    """Tell whether an element isn't shown, or only points at the heading that it stands in."""
    attributes = node.attributes
    return "hidden" in attributes or "headerlink" in (attributes.get("class") or "").split()
