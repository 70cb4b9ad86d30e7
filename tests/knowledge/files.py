"""Files as people have them, made here, and files as attackers make them."""

import io
import zipfile

import docx
import pypdfium2


def docx_file(*, password: bool = False) -> bytes:
    """A Word document with a title, two headings, a list and a table; or the shell that encryption puts around one."""
    if password:
        return b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(2048)
    document = docx.Document()
    document.core_properties.title = "Service manual"
    document.add_heading("Valves", level=1)
    document.add_paragraph("Check each valve in spring.")
    document.add_heading("Pumps", level=2)
    document.add_paragraph("Oil the pump.", style="List Bullet")
    table = document.add_table(rows=2, cols=2)
    for row, texts in zip(table.rows, (("Part", "Torque"), ("M8", "25 Nm")), strict=True):
        for cell, text in zip(row.cells, texts, strict=True):
            cell.text = text
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006"


def docx_of(body: str, **notes: str) -> bytes:
    """A Word document whose body is the given XML; ``footnotes`` and ``endnotes`` are that of their parts."""
    names = {
        "w": WORD,
        "m": f"{OFFICE}/math",
        "r": f"{OFFICE}/relationships",
        "mc": "http://schemas.openxmlformats.org/markup-compatibility/2006",
        "v": "urn:schemas-microsoft-com:vml",
        "wps": "http://schemas.microsoft.com/office/word/2010/wordprocessingShape",
    }
    spaces = " ".join(f'xmlns:{prefix}="{name}"' for prefix, name in names.items())
    parts = {"word/document.xml": f"<w:document {spaces}><w:body>{body}</w:body></w:document>"}
    types = relations = ""
    for kind, xml in notes.items():
        parts[f"word/{kind}.xml"] = f"<w:{kind} {spaces}>{xml}</w:{kind}>"
        kept = f"application/vnd.openxmlformats-officedocument.wordprocessingml.{kind}+xml"
        types += f'<Override PartName="/word/{kind}.xml" ContentType="{kept}"/>'
        relations += f'<Relationship Id="{kind}" Type="{OFFICE}/relationships/{kind}" Target="{kind}.xml"/>'
    added = {
        "[Content_Types].xml": ("</Types>", types),
        "word/_rels/document.xml.rels": ("</Relationships>", relations),
    }
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(docx_file())) as whole, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for name in whole.namelist():
            content = whole.read(name).decode("latin-1")
            end, more = added.get(name, ("", ""))
            if name not in parts:
                made.writestr(name, (content.replace(end, more + end) if end else content).encode("latin-1"))
        for name, xml in parts.items():
            made.writestr(name, xml)
    return file.getvalue()


def zip_bomb() -> bytes:
    """A DOCX of half a megabyte that unpacks to 500."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        with archive.open("word/document.xml", "w", force_zip64=True) as part:
            for _ in range(500):
                part.write(bytes(1024 * 1024))
    return file.getvalue()


def entity_bomb() -> bytes:
    """A DOCX whose XML stands for gigabytes: the “billion laughs”."""
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    xml = f'<?xml version="1.0"?><!DOCTYPE d [<!ENTITY l0 "ha">{laughs}]><w:document xmlns:w="w">&l9;</w:document>'
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(docx_file())) as whole, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as bomb:
        for name in whole.namelist():
            bomb.writestr(name, xml if name == "word/document.xml" else whole.read(name))
    return file.getvalue()


def pdf_file(*pages: str, title: str = "", encrypted: bool = False, sizes: tuple[int, ...] = ()) -> bytes:
    """A PDF of the pages, as few objects as the format allows; ``encrypted`` claims a password that nobody knows.

    ``sizes`` are those of each page's first lines, in points; of the others it is 12.
    """
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, text in enumerate(pages):
        stream = "".join(
            f"BT /F1 1 Tf {size} 0 0 {size} 72 {720 - 30 * row} Tm ({line}) Tj ET\n"
            if (size := sizes[row] if row < len(sizes) else 0)
            else f"BT /F1 12 Tf 72 {720 - 16 * row} Td ({line}) Tj ET\n"
            for row, line in enumerate(text.split("\n"))
        )
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {5 + 2 * number} 0 R"
            " /Resources << /Font << /F1 3 0 R >> >> >>"
        )
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}endstream")
    trailer = "/Root 1 0 R"
    if title:
        objects.append(f"<< /Title ({title}) >>")
        trailer += f" /Info {len(objects)} 0 R"
    if encrypted:
        objects.append(f"<< /Filter /Standard /V 1 /R 2 /O <{'00' * 32}> /U <{'11' * 32}> /P -4 >>")
        trailer += f" /Encrypt {len(objects)} 0 R /ID [<00> <00>]"
    out, places = "%PDF-1.4\n", []
    for number, text in enumerate(objects, 1):
        places.append(len(out))
        out += f"{number} 0 obj\n{text}\nendobj\n"
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    size = len(objects) + 1
    end = f"trailer\n<< /Size {size} {trailer} >>\nstartxref\n{len(out)}\n%%EOF\n"
    return f"{out}xref\n0 {size}\n0000000000 65535 f \n{table}{end}".encode("latin-1")


def scanned_pdf() -> bytes:
    """A PDF of a page without text, as scanners make them."""
    document = pypdfium2.PdfDocument.new()
    document.new_page(612, 792)
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()
