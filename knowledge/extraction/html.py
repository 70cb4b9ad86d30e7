"""HTML: what a reader would see of its main part, with headings as Markdown writes them. Nothing of it is run."""

import re
from typing import Any

from knowledge.extraction.base import Text, one_line
from knowledge.extraction.markup import escaped, fenced, heading_line
from knowledge.extraction.plain import decode, known, needs_charset

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
PARAGRAPHS = frozenset({"div", "p"})
BULLET = "- "
HEADINGS = {f"h{level}": level for level in range(1, 7)}
# What a page is about: the first of these that the page has one of, apart from those within another.
MAINS = ("main, [role=main]", "article")
DECLARED = re.compile(rb"<meta[^>]{0,200}?charset=[\"']?([A-Za-z0-9_.:-]{1,40})", re.IGNORECASE)
# What links to a heading are shown as: signs, those of icon fonts, and characters without width.
PERMALINK = re.compile(r"[\s#¶§∞⚓🔗\u200b-\u200d\u2060\ufe0e\ufe0f\ufeff\ue000-\uf8ff]*")
SPACE = re.compile(r"\s+")


def read(content: bytes, charset: str = "", language: str = "") -> Text:
    """Return the page's text and title. ``charset`` is the one that it came with, and counts before its own."""
    from selectolax.lexbor import LexborHTMLParser

    tree = LexborHTMLParser(decode(content, charset or _declared(content), language))
    title = tree.css_first("head > title")  # those of drawings are further down
    root = next(filter(None, (_only(tree, selector) for selector in MAINS)), tree.body)
    text = ""
    if root is not None:
        writer = _Writer(_layouts(root))
        writer.walk(root)
        text = "\n\n".join(writer.blocks)
    return Text(text, one_line(title.text()) if title else "")


def _declared(content: bytes) -> str:
    """Return the encoding that a page's own element says.

    That was read as ASCII, so it can't be UTF-16 (WHATWG, HTML, section 13.2.3.2); and nobody but an attacker declares
    UTF-7. Of the encodings whose bytes look like ASCII, browsers know ISO-2022-JP alone.
    """
    found = DECLARED.search(content, 0, 4096)
    charset = known(found[1].decode()) if found else ""
    return "utf-8" if needs_charset(charset) and charset != "iso2022_jp" else charset


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


def _layouts(root: Any) -> set[int]:
    """Return the tables that arrange a page: those with headings, code or tables in them, whose cells hold blocks."""
    found = {node.mem_id for node in root.css("table[role=presentation], table[role=none]")}
    for node in root.css("table table, table pre, " + ", ".join(f"table {heading}" for heading in HEADINGS)):
        above = node.parent
        while above.tag != "table":
            above = above.parent
        found.add(above.mem_id)
    return found


class _Writer:
    """Puts down blocks of text, one after the other. A table of data is one, with a line a row."""

    def __init__(self, layouts: set[int]) -> None:
        self.layouts = layouts
        self.blocks: list[str] = []
        self.words: list[str] = []
        self.level = 0
        self.verbatim = 0
        self.rows: list[str] | None = None  # of the table of data that is being read
        self.cells: list[str] = []
        self.in_cell = False

    def walk(self, root: Any) -> None:
        """Go through the elements without recursion, since they may be nested without end."""
        node = root
        while node is not None:
            if node.tag == "-text":
                text = node.text_content or ""
                if self.verbatim or not text.isspace():
                    self.words.append(text if self.verbatim else SPACE.sub(" ", text))
                elif self.words and self.words[-1] != BULLET:
                    self.words.append(" ")
            elif node.tag not in UNSEEN and not _decoration(node) and not (self.level and _permalink(node)):
                self.enter(node)
                if node.child is not None:
                    node = node.child
                    continue
                self.leave(node)
            while node is not None and node.next is None and node.mem_id != root.mem_id:
                node = node.parent
                if node is not None:
                    self.leave(node)
            if node is None or node.mem_id == root.mem_id:
                break
            node = node.next
        self.end_block()

    def enter(self, node: Any) -> None:
        """Begin an element."""
        tag = node.tag
        if self.in_cell:
            self.words.append("\n" if tag == "br" else " " if tag in BLOCKS else "")
            return
        if self.verbatim:
            self.end_line(tag)
        elif tag == "table" and node.mem_id not in self.layouts:
            self.end_block()
            self.rows = []
        elif self.rows is not None and tag in CELLS:
            self.in_cell = True
        elif _parts(tag) and not (tag in PARAGRAPHS and self.words[-1:] == [BULLET]):
            self.end_block()
        if tag in HEADINGS:
            self.level = HEADINGS[tag]
        elif tag == "pre":
            self.verbatim += 1
        elif tag == "br":
            self.words.append("\n")
        elif tag == "li" and not self.verbatim:
            self.words.append(BULLET)

    def leave(self, node: Any) -> None:
        """End an element."""
        tag = node.tag
        if self.in_cell:
            if tag in CELLS:
                self.cells.append(one_line("".join(self.words)))
                self.words = []
                self.in_cell = False
            else:
                self.words.append(" " if tag in BLOCKS else "")
            return
        if self.rows is not None and tag in ("tr", "table"):
            self.end_row()
            if tag == "table":
                rows, self.rows = self.rows, None
                self.words = ["\n".join(rows)]
        if self.verbatim > (tag == "pre"):
            self.end_line(tag)
        elif _parts(tag):
            self.end_block()
        if tag in HEADINGS:
            self.level = 0
        elif tag == "pre":
            self.verbatim -= 1

    def end_line(self, tag: str) -> None:
        """Part what an element holds from what stands around it in code, which stays one block."""
        sign = " " if tag in CELLS else "\n"
        if _parts(tag) and self.words and not self.words[-1].endswith(("\n", sign)):
            self.words.append(sign)

    def end_row(self) -> None:
        """Put down a row, unless all of its cells are empty. One cell with text stands alone."""
        assert self.rows is not None, "A row is of a table."
        cells, self.cells = self.cells, []
        filled = [cell for cell in cells if cell]
        if filled:
            self.rows.append(" | ".join(cells) if len(filled) > 1 else filled[0])

    def end_block(self) -> None:
        """Put down what was gathered."""
        text, self.words = "".join(self.words), []
        if self.verbatim:
            if text.strip():
                self.blocks.append(fenced(text.strip("\n")))
            return
        text = "\n".join(filter(None, map(one_line, text.split("\n"))))
        if not text.strip("- "):
            return
        if self.level:
            self.blocks.append(heading_line(one_line(text), self.level))
        else:
            self.blocks.append(escaped(text))


def _parts(tag: str) -> bool:
    """Tell whether an element's text stands apart from that before and after it."""
    return tag in BLOCKS or tag in HEADINGS or tag in CELLS or tag == "pre"


def _decoration(node: Any) -> bool:
    """Tell whether an element isn't shown, or only points at the heading before it."""
    attributes = node.attributes
    return "hidden" in attributes or "headerlink" in (attributes.get("class") or "").split()


def _permalink(node: Any) -> bool:
    """Tell whether an element within a heading only points at that."""
    return node.tag == "a" and PERMALINK.fullmatch(node.text()) is not None
