"""What is read of Word documents that people have worked on: all that they show, and nothing that is gone."""

import io
import zipfile
from typing import Any

import pytest
from docx import Document
from docx.enum.style import WD_STYLE_TYPE

from knowledge.extraction.base import DOCX
from knowledge.services.extraction import UnreadableError, type_of
from tests.knowledge import reading
from tests.knowledge.files import docx_file, docx_of


def read(body: str, **notes: str) -> str:
    return reading.read(DOCX, docx_of(body, **notes)).text


def run(text: str) -> str:
    return f'<w:r><w:t xml:space="preserve">{text}</w:t></w:r>'


def paragraph(inner: str, style: str = "") -> str:
    return f'<w:p><w:pPr><w:pStyle w:val="{style}"/></w:pPr>{inner}</w:p>' if style else f"<w:p>{inner}</w:p>"


def cell(*blocks: str, properties: str = "") -> str:
    return f"<w:tc><w:tcPr>{properties}</w:tcPr>{''.join(blocks)}</w:tc>"


def table(*rows: str) -> str:
    return f"<w:tbl><w:tblPr/><w:tblGrid/>{''.join(f'<w:tr>{row}</w:tr>' for row in rows)}</w:tbl>"


def test_the_main_part_may_have_any_name() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(docx_file())) as whole, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for name in whole.namelist():
            renamed = name.replace("word/document.xml", "word/document2.xml").replace("document.xml.", "document2.xml.")
            made.writestr(renamed, whole.read(name).replace(b"word/document.xml", b"word/document2.xml"))
    content = file.getvalue()
    assert type_of(declared="application/zip", name="a", content=content) == DOCX
    found = reading.read(DOCX, content)
    assert found == reading.read(DOCX, docx_file())
    assert found.title == "Service manual"


BOX = f"<w:txbxContent>{paragraph(run('in a box'))}</w:txbxContent>"


@pytest.mark.parametrize(
    "inner",
    [
        f"<w:ins w:id='1' w:author='a'>{run('kept')}</w:ins>",
        f"<w:moveTo w:id='1' w:author='a'>{run('kept')}</w:moveTo>",
        f"<w:sdt><w:sdtPr/><w:sdtContent>{run('kept')}</w:sdtContent></w:sdt>",
        f"<w:smartTag w:element='x'>{run('kept')}</w:smartTag>",
        f"<w:fldSimple w:instr='REF x'>{run('kept')}</w:fldSimple>",
        f"<w:customXml w:element='x'>{run('kept')}</w:customXml>",
        f"<w:hyperlink w:anchor='x'>{run('kept')}</w:hyperlink>",
        f"<w:ins w:id='1' w:author='a'><w:hyperlink w:anchor='x'>{run('kept')}</w:hyperlink></w:ins>",
        "<m:oMath><m:r><m:t>kept</m:t></m:r></m:oMath>",
    ],
)
def test_text_in_what_wraps_it_is_kept(inner: str) -> None:
    assert read(paragraph(run("before ") + inner + run(" after"))) == "before kept after"


@pytest.mark.parametrize(
    "inner",
    [
        "<w:del w:id='1' w:author='a'><w:r><w:delText>gone</w:delText></w:r></w:del>",
        f"<w:moveFrom w:id='1' w:author='a'>{run('gone')}</w:moveFrom>",
        "<w:r><w:fldChar w:fldCharType='begin'/></w:r><w:r><w:instrText>gone</w:instrText></w:r>",
        "<w:r><w:rPr><w:b/></w:rPr></w:r>",
    ],
)
def test_what_was_deleted_moved_away_or_never_shown_is_left_out(inner: str) -> None:
    assert read(paragraph(run("before") + inner + run(" after"))) == "before after"


def test_breaks_and_tabs_part_words() -> None:
    inner = "<w:r><w:t>one</w:t><w:tab/><w:t>two</w:t><w:br/><w:t>three</w:t><w:noBreakHyphen/><w:t>four</w:t></w:r>"
    assert read(f"<w:p><w:pPr><w:tabs><w:tab w:val='left' w:pos='9'/></w:tabs></w:pPr>{inner}</w:p>") == (
        "one\ttwo\nthree-four"
    )


def test_content_controls_around_blocks_rows_and_cells_are_seen_through() -> None:
    def control(inner: str) -> str:
        return f"<w:sdt><w:sdtPr/><w:sdtContent>{inner}</w:sdtContent></w:sdt>"

    rows = f"<w:tr>{cell(paragraph(run('A')))}{control(cell(paragraph(run('B'))))}</w:tr>"
    body = control(control(paragraph(run("Scope"), "Heading1")) + paragraph(run("text")))
    assert read(f"{body}<w:tbl><w:tblPr/>{control(rows)}</w:tbl>") == "# Scope\n\ntext\n\nA | B"


def test_a_table_of_contents_repeats_no_headings() -> None:
    document = Document()
    document.styles.add_style("toc 1", WD_STYLE_TYPE.PARAGRAPH)
    document.add_paragraph("Scope\t3", style="toc 1")
    document.add_heading("Scope", level=1)
    file = io.BytesIO()
    document.save(file)
    assert reading.read(DOCX, file.getvalue()).text == "# Scope"


def test_a_text_box_is_read_once_and_after_its_paragraph() -> None:
    choice = f"<mc:Choice Requires='wps'><w:drawing><wps:txbx>{BOX}</wps:txbx></w:drawing></mc:Choice>"
    fallback = f"<mc:Fallback><w:pict><v:textbox>{BOX}</v:textbox></w:pict></mc:Fallback>"
    alternate = f"<w:r><mc:AlternateContent>{choice}{fallback}</mc:AlternateContent></w:r>"
    assert read(paragraph(run("before") + alternate + run(" after")) + paragraph(run("next"))) == (
        "before after\n\nin a box\n\nnext"
    )
    assert read(paragraph(f"<w:r><w:pict><v:textbox>{BOX}</v:textbox></w:pict></w:r>")) == "in a box"


def test_notes_stand_after_the_paragraph_that_refers_to_them() -> None:
    def notes(kind: str) -> str:
        own = f"<w:{kind} w:id='2'>{paragraph(run(f'the {kind}'))}</w:{kind}>"
        return f"<w:{kind} w:id='-1' w:type='separator'>{paragraph(run('line'))}</w:{kind}>{own}"

    body = (
        paragraph(run("one") + "<w:r><w:footnoteReference w:id='2'/></w:r>")
        + paragraph(run("Two"), "Heading1")
        + paragraph(run("three") + "<w:r><w:endnoteReference w:id='2'/></w:r>")
    )
    assert read(body, footnotes=notes("footnote"), endnotes=notes("endnote")) == (
        "one\n\nthe footnote\n\n# Two\n\nthree\n\nthe endnote"
    )


def test_a_note_that_refers_to_itself_ends() -> None:
    reference = "<w:r><w:footnoteReference w:id='2'/></w:r>"
    note = f"<w:footnote w:id='2'>{paragraph(run('the note') + reference)}</w:footnote>"
    assert read(paragraph(run("text") + reference), footnotes=note) == "text\n\nthe note"


def test_tables_in_cells_are_read_where_they_stand() -> None:
    inner = table(cell(paragraph(run("x"))) + cell(paragraph(run("y"))))
    found = read(table(cell(paragraph(run("A"))) + cell(paragraph(""), inner, paragraph(""))))
    assert found == "A | x | y"


def test_a_row_of_one_cell_is_a_frame_around_blocks() -> None:
    inner = table(cell(paragraph(run("x"))) + cell(paragraph(run("y"))))
    assert read(table(cell(paragraph(run("Scope"), "Heading1"), paragraph(run("text")), inner))) == (
        "# Scope\n\ntext\n\nx | y"
    )


def test_a_row_s_cells_begin_no_heading() -> None:
    inner = table(cell(paragraph(run("# x"))) + cell(paragraph(run("y"))))
    one = cell(paragraph(run("#"))) + cell(paragraph(run("Name")))
    two = cell(paragraph(run("1"), "Heading1")) + cell(paragraph(run("a"), "ListBullet"), inner)
    found = reading.read(DOCX, docx_of(table(one, two)))
    assert (found.text, found.headings) == ("\\# | Name\n1 | a # x | y", [])


@pytest.mark.parametrize(
    ("lines", "style", "text"),
    [
        (("Total", "-----"), "", "Total\n\\-----"),
        (("&lt;!-- one",), "", "\\&lt;!-- one"),
        (("one", "# two"), "ListBullet", "- one\n\\# two"),
        (("one", "  ## two"), "", "one\n\\  ## two"),
    ],
)
def test_text_that_looks_like_markdown_hides_no_heading_and_is_none(
    lines: tuple[str, ...], style: str, text: str
) -> None:
    body = paragraph("<w:r><w:br/></w:r>".join(map(run, lines)), style) + paragraph(run("*After* #"), "Heading1")
    found = reading.read(DOCX, docx_of(body))
    assert found.text == f"{text.replace('&lt;', '<')}\n\n# *After* #"
    assert [heading.text for heading in found.headings] == ["*After* #"]


def test_a_cell_over_several_rows_is_in_each() -> None:
    def merged(inner: str, value: str) -> str:
        return cell(paragraph(inner), properties=f"<w:gridSpan w:val='2'/><w:vMerge w:val='{value}'/>")

    one = merged(run("Pump"), "restart") + cell(paragraph(run("oil")))
    two = merged("", "continue") + cell(paragraph(run("seal")))
    assert read(table(one, two)) == "Pump | oil\nPump | seal"


def test_xml_nested_without_end_is_refused(settings: Any) -> None:
    settings.EXTRACTION_SECONDS = 10
    deep = f"{'<w:sdt>' * 20_000}{paragraph(run('deep'))}{'</w:sdt>' * 20_000}"
    with pytest.raises(UnreadableError, match=r"broken|memory"):
        read(deep)
