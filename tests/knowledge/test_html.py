"""What is read of HTML: the main part of a page, its headings, lists and tables, and nothing beside them."""

import pytest

from knowledge.extraction.base import HTML, Extracted
from tests.knowledge import reading


def read(content: bytes) -> Extracted:
    return reading.read(HTML, content)


def outline(found: Extracted) -> list[tuple[int, str]]:
    return [(heading.level, heading.text) for heading in found.headings]


def html(body: str) -> str:
    return read(body.encode()).text


def test_html_is_what_a_reader_sees_of_its_main_part() -> None:
    page = """<html><head><title>Valves &amp; pumps</title><style>p {}</style><script>alert(1)</script></head>
    <body><nav>Home</nav><main><h1>Valves<a class="headerlink" href="#">¶</a></h1>
    <p>Check <b>each</b>\n valve.<br># of turns: 3<script>document.write("x")</script></p><p hidden>secret</p>
    <ul><li>one<li>two</ul><h2>Table</h2><table><tr><th>Part<th>Torque<tr><td>M8<td>25 Nm</table>
    <pre>a = 1\n  b</pre></main><footer>Imprint</footer></body></html>"""
    found = read(page.encode())
    assert found.title == "Valves & pumps"
    assert outline(found) == [(1, "Valves"), (2, "Table")]
    assert found.text == (
        "# Valves\n\nCheck each valve.\n\\# of turns: 3\n\n- one\n\n- two\n\n## Table\n\n"
        "Part | Torque\nM8 | 25 Nm\n\n```\na = 1\n  b\n```"
    )


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<p>&lt;!-- one", "\\<!-- one"),
        ("<ul><li>&lt;!-- one</ul>", "- <!-- one"),
        ("<p>Total<br>-----<br>12", "Total\n\\-----\n12"),
        ("<p>Total<br>=<br>12", "Total\n\\=\n12"),
        ("<p>~~~ one", "\\~~~ one"),
        ("<pre>```python\nx\n```</pre>", "````\n```python\nx\n```\n````"),
        ("<pre>```python</pre>", "````\n```python\n````"),
        ("<pre>a ````` b</pre>", "``````\na ````` b\n``````"),
    ],
    ids=range(8),
)
def test_text_that_looks_like_markdown_hides_no_heading_and_is_none(page: str, text: str) -> None:
    found = read(f"{page}<h2>After</h2><p>x".encode())
    assert (outline(found), found.text) == ([(2, "After")], f"{text}\n\n## After\n\nx")


@pytest.mark.parametrize(
    "words", ["__init__ and *args, **kwargs", "C #", "Set {#x}", "`a` &amp;lt; [b](c)", "# of turns"]
)
def test_a_heading_s_words_stand_as_they_are(words: str) -> None:
    assert outline(read(f"<h2>{words}</h2><p>x".encode())) == [(2, words.replace("&amp;", "&"))]


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("<code><div>a = 1</div><div>  b = 2</div></code>", "a = 1\n  b = 2"),
        ("<div>a</div>\n<div>b\n</div><p>c</p>", "a\n\nb\nc"),
        ("<ol><li>a</li><li>b</li></ol>", "a\nb"),
        ("<table><tr><td>1</td><td>a</td></tr><tr><td>2</td><td>b</td></tr></table>", "1 a \n2 b "),
        ("a<pre>b</pre>c", "a\nb\nc"),
        ("a<h2>b</h2>c", "a\nb\nc"),
    ],
    ids=range(6),
)
def test_blocks_within_code_are_its_lines(code: str, text: str) -> None:
    assert html(f"<pre>{code}</pre><p>after") == f"```\n{text}\n```\n\nafter"


@pytest.mark.parametrize("page", ["<p>x<svg><title>Icon</title></svg>", "<svg><title>Icon</title></svg><p>x"])
def test_the_title_of_a_drawing_is_not_the_page_s(page: str) -> None:
    assert read(page.encode()).title == ""


ABOUT = "<h1>Pumps</h1><p>Oil the pump.</p>"
AROUND = (
    "<header>Products</header><div class=sidebar><a>Turbines</a></div>",
    "<aside>Ads</aside><footer>Imprint</footer>",
)


@pytest.mark.parametrize(
    "main",
    [
        f"<main><nav>Menu</nav><article>{ABOUT}</article></main>",
        f"<div role=main><article>{ABOUT}</article></div>",
        f"<main><div role=main>{ABOUT}</div></main>",
        f"<article>{ABOUT}<article></article></article>",
        f"<main>{ABOUT}</main><article>A teaser</article><article>Another</article>",
    ],
)
def test_of_a_page_only_its_main_part_is_read(main: str) -> None:
    before, after = AROUND
    assert read(f"<body>{before}<div>{main}</div>{after}".encode()).text == "# Pumps\n\nOil the pump."


def test_a_row_of_a_table_is_a_line_whatever_its_cells_hold() -> None:
    rows = "<tr><th><p>Name</p></th><th><p>Default</p></th></tr>\n<tr><td><p>one</p><p>two</p></td><td>3<br>4</td></tr>"
    assert html(f"<p>before<table><caption>Limits</caption>{rows}</table>after") == (
        "before\n\nLimits\n\nName | Default\none two | 3 4\n\nafter"
    )
    assert html("<table><tr><td><ul><li>one<li>two</ul><td>x</table>") == "one two | x"
    assert html("<table><tr><td># of turns<td>3</table>") == "\\# of turns | 3"


def test_cells_with_nothing_in_them_leave_nothing() -> None:
    empty = "<td>&nbsp;</td>"
    rows = f"<tr>{empty * 3}</tr><tr>{empty}<td>text</td>{empty}</tr><tr><td>a</td>{empty}<td>b</td></tr>"
    assert html(f"<table>{rows}</table>") == "text\na | | b"


def test_a_table_that_arranges_a_page_is_read_block_by_block() -> None:
    inner = "<table><tr><td>M8<td>25 Nm</table>"
    page = f"<table><tr><td><h1>Pumps</h1><p>Oil.</p><pre>a\n b</pre>{inner}</td><td> </td><td>next</td></tr></table>"
    assert html(page) == "# Pumps\n\nOil.\n\n```\na\n b\n```\n\nM8 | 25 Nm\n\nnext"
    assert html("<table role=presentation><tr><td>one<td>two</table>") == "one\n\ntwo"


def test_items_of_a_list_keep_their_marks() -> None:
    nested = "<li><p>alpha</p><ul>\n<li>\n<div><p>beta</p></div></li></ul></li><li><p>gamma</p><p>more</p></li>"
    assert html(f"<ul>{nested}</ul>") == "- alpha\n\n- beta\n\n- gamma\n\nmore"


@pytest.mark.parametrize("mark", ["#", "¶", "§", "🔗", "\u200b", "", "<i>\uf0c1</i>", " # "])
def test_links_to_a_heading_are_no_part_of_it(mark: str) -> None:
    for heading in (f"C#<span><a href='#x'>{mark}</a></span>", f"<a href='#x'>{mark}</a>C#"):
        assert outline(read(f"<h2>{heading}</h2><p>text".encode())) == [(2, "C#")]


def test_links_in_a_heading_are_part_of_it() -> None:
    assert html("<h2><a href='#use'>Use</a> of <a href='c'>C#</a></h2><p>see <a>§</a>") == "## Use of C#\n\nsee §"


def test_a_page_without_one_main_part_is_read_whole() -> None:
    page = "<p>one</p><article>two</article><article>three</article><p>four</p>"
    assert read(page.encode()).text == "one\n\ntwo\n\nthree\n\nfour"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1", "cp1251"])
def test_html_is_read_in_the_encoding_that_it_declares(encoding: str) -> None:
    word = "Größe" if encoding != "cp1251" else "Размер"
    page = f'<meta charset="{encoding}"><p>{word}</p>'.encode(encoding)
    assert word in read(page).text


@pytest.mark.parametrize("charset", ["utf-16", "utf-16le", "UTF-32", "utf-7", "hz-gb-2312", "iso-2022-kr"])
@pytest.mark.parametrize("word", ["Größe", "Größen", "Größe2", "Größe 3", "+AGE-, ~{VPND~}"])
def test_a_page_does_not_declare_what_it_cannot_be(charset: str, word: str) -> None:
    assert read(f'<meta charset="{charset}"><p>{word}'.encode()).text == word
    assert read(f'<meta charset="{charset}"><p>Größe'.encode("cp1252")).text == "Größe"


def test_a_page_may_declare_iso_2022_jp() -> None:
    assert read('<meta charset="iso-2022-jp"><p>検索'.encode("iso-2022-jp")).text == "検索"
