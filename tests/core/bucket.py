"""A bucket of an S3 store on this machine, as far as Muster asks for it, which fails where a test wants."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from django.core.files.storage import Storage, storages

from tests.core.receiver import Received, receiving

Answer = tuple[int, dict[str, str], bytes]
KEYS = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "one"}


def refusal(status: int, code: str, message: str) -> Answer:
    """Return how S3 says that it won't."""
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return status, {"Content-Type": "application/xml"}, body.encode()


@dataclass
class Bucket:
    """Its files by name, and ``fault``, which answers in its place where it returns more than None."""

    files: dict[str, bytes] = field(default_factory=dict)
    fault: Callable[[str, str], Answer | None] = lambda method, name: None
    endpoint: str = ""

    @property
    def url(self) -> str:
        """Return the bucket as STORAGE_URL names it."""
        return f"s3://files?region=none&endpoint={self.endpoint}"

    def storage(self, **options: Any) -> Storage:
        """Return Django's storage of it."""
        config = {"bucket_name": "files", "region_name": "none", "endpoint_url": self.endpoint}
        keys = {"access_key": "any", "secret_key": "one", "file_overwrite": False}
        return storages.create_storage(
            {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": {**config, **keys, **options}}
        )

    def answer(self, request: Received) -> Answer:
        """Answer as S3 does: https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html."""
        url = urlsplit(request.path)
        name = unquote(url.path).removeprefix("/files").lstrip("/")
        failed = self.fault(request.method, name)
        if failed is not None:
            return failed if request.method != "HEAD" else (failed[0], {}, b"")
        if not name:
            return 200, {}, self._listing(parse_qs(url.query).get("prefix", [""])[0]).encode()
        match request.method:
            case "PUT":
                assert "aws-chunked" not in request.headers.get("content-encoding", ""), "It would be to be decoded."
                self.files[name] = request.body
                return 200, {"ETag": '"1"'}, b""
            case "DELETE":
                self.files.pop(name, None)
                return 204, {}, b""
        content = self.files.get(name)
        if content is None:
            return (404, {}, b"") if request.method == "HEAD" else refusal(404, "NoSuchKey", "There is no such key.")
        head = {"Content-Length": str(len(content)), "ETag": '"1"', "Last-Modified": "Mon, 02 Mar 2026 09:14:07 GMT"}
        return 200, head, b"" if request.method == "HEAD" else content

    def _listing(self, prefix: str) -> str:
        below = sorted(name.removeprefix(prefix) for name in self.files if name.startswith(prefix))
        folders = dict.fromkeys(name.partition("/")[0] for name in below if "/" in name)
        parts = [f"<CommonPrefixes><Prefix>{escape(prefix + name)}/</Prefix></CommonPrefixes>" for name in folders]
        parts += [f"<Contents><Key>{escape(prefix + name)}</Key></Contents>" for name in below if "/" not in name]
        return f"<ListBucketResult><IsTruncated>false</IsTruncated>{''.join(parts)}</ListBucketResult>"


@contextmanager
def serving(files: dict[str, bytes] | None = None) -> Iterator[Bucket]:
    """Serve a bucket of these files while the block runs."""
    bucket = Bucket(dict(files or {}))
    with receiving(bucket.answer) as receiver:
        bucket.endpoint = receiver.url("")
        yield bucket
