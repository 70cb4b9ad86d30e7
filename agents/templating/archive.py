"""Files in a zip, the same bytes each time."""

import io
import zipfile
from collections.abc import Mapping

EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can tell
REGULAR_FILE = 0o100644 << 16
UNIX = 3


def zip_of(files: Mapping[str, str]) -> bytes:
    """Return the files, path to content, in a zip: in the order of their paths, and without a time of their own."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, content in sorted(files.items()):
            entry = zipfile.ZipInfo(path, EPOCH)
            entry.create_system = UNIX
            entry.external_attr = REGULAR_FILE
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content.encode())
    return buffer.getvalue()
