"""Uploads of any size: a body of ``multipart/form-data`` streams to a file that lies where storage can take it over.

Of the body, no more than a chunk is in memory. Size and digest are told on the way. What is refused, breaks off or
isn't taken over leaves no file behind; but a killed process may, and then ``stale_uploads`` finds it.
"""

import hashlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler
from django.http import HttpRequest, UnreadablePostError
from django.utils.encoding import force_str
from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import DataAndFiles, MultiPartParser

from core.api.problems import PayloadTooLarge
from core.connections import lend_back

CHUNK = 64 * 1024
OVERHEAD = 1024 * 1024  # bytes that the other fields and the boundaries of a body may take beside its file
STALE_SECONDS = 24 * 60 * 60
INCOMING = "incoming"  # the folder in which uploads wait, below MEDIA_ROOT: nothing stored has a name there


class LengthRequired(APIException):
    """411: the body comes without its length."""

    status_code = 411
    default_code = "length_required"
    default_detail = "Send Content-Length: a body of unknown length isn't taken."


def incoming_folder() -> Path:
    """Return where uploads wait: on the file system of the files they may become, so that one renaming takes over."""
    return Path(settings.MEDIA_ROOT) / INCOMING


def stale_uploads() -> Iterator[Path]:
    """Yield the files that were left by processes that died while they received them."""
    folder = incoming_folder()
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.stat().st_mtime < time.time() - STALE_SECONDS:
            yield path


class ReceivedFile(UploadedFile):
    """A file received whole, of which ``sha256`` is the digest in hexadecimal. Closing it removes it.

    ``charset`` is what its part's media type declares, if it does.
    """

    sha256: str

    def __init__(self, name: str, content_type: str, charset: str | None = None) -> None:
        folder = incoming_folder()
        folder.mkdir(parents=True, exist_ok=True)
        self._temporary = tempfile.NamedTemporaryFile(prefix="upload-", dir=folder)  # noqa: SIM115 (closed with the request)
        super().__init__(self._temporary, name, content_type, 0, charset)

    def temporary_file_path(self) -> str:
        """Return its path; file storage moves what has one, and copies nothing."""
        return self._temporary.name

    def to_disk(self) -> None:
        """Wait until what was written is on the disk, where the row that will vouch for it comes to be too."""
        self._temporary.flush()
        os.fsync(self._temporary.fileno())

    def close(self) -> None:
        """Remove the file, unless storage took it over."""
        try:
            self._temporary.close()
        except FileNotFoundError:
            return


class StreamingHandler(FileUploadHandler):
    """Receives files of up to ``limit`` bytes in all."""

    chunk_size = CHUNK

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit
        self.received = 0
        self.file: ReceivedFile | None = None

    def handle_raw_input(
        self,
        input_data: Any,
        META: Any,  # noqa: N803 (Django's name)
        content_length: int,
        boundary: Any,
        encoding: Any = None,
    ) -> None:
        """Refuse a body that is too large before any of it is read."""
        if content_length > self.limit + OVERHEAD:
            raise self._too_large()

    def new_file(self, field_name: str, file_name: str, content_type: str, *args: Any, **kwargs: Any) -> None:
        """Make the file that what comes is written to."""
        super().new_file(field_name, file_name, content_type, *args, **kwargs)
        charset = force_str(self.charset, errors="replace") if self.charset else None  # which Django has as bytes
        self.file = ReceivedFile(file_name, content_type, charset)
        self.digest = hashlib.sha256()

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        """Write a piece."""
        assert self.file is not None, "A piece belongs to a file."
        self.received += len(raw_data)
        if self.received > self.limit:
            raise self._too_large()
        self.digest.update(raw_data)
        self.file.write(raw_data)

    def file_complete(self, file_size: int) -> ReceivedFile:
        """Return the file."""
        assert self.file is not None, "What is complete was begun."
        file, self.file = self.file, None
        file.to_disk()
        file.seek(0)
        file.size = file_size
        file.sha256 = self.digest.hexdigest()
        return file

    def upload_interrupted(self) -> None:
        """Remove what came of the file that isn't complete."""
        if self.file is not None:
            self.file.close()

    def _too_large(self) -> PayloadTooLarge:
        return PayloadTooLarge(self.limit)


class _Counted:
    """A stream that counts what was read of it."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.count = 0

    def read(self, size: int) -> bytes:
        piece: bytes = self.stream.read(size)
        self.count += len(piece)
        return piece


def require_length(request: HttpRequest) -> None:
    """Raise LengthRequired for a body of unknown length, which WSGI would give to nobody but as an empty one."""
    if "HTTP_TRANSFER_ENCODING" in request.META and not request.META.get("CONTENT_LENGTH"):
        raise LengthRequired


class UploadParser(MultiPartParser):
    """Parses ``multipart/form-data`` into fields and ``ReceivedFile``s. The view's ``upload_limit`` bounds them."""

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> DataAndFiles:
        """Return fields and files; APIException says why the body can't be taken."""
        request = parser_context["request"]._request
        handler = StreamingHandler(parser_context["view"].upload_limit)
        request.upload_handlers = [handler]
        lend_back()
        counted: Any = _Counted(stream)
        try:
            parsed = super().parse(counted, media_type, parser_context)
        except (UnreadablePostError, SuspiciousOperation) as error:
            raise ParseError(f"The body can't be read: {error}") from error
        finally:
            handler.upload_interrupted()
        if counted.count < int(request.META.get("CONTENT_LENGTH") or 0):
            for file in parsed.files.values():
                file.close()  # type: ignore[union-attr]
            raise ParseError("The body ends before its Content-Length.")
        return parsed
