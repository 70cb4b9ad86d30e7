"""What an S3 store of files may answer instead of a file: its library has errors that are no OSError."""

from functools import cache
from importlib import import_module
from importlib.util import find_spec

from django.core.files.storage import Storage

LIBRARIES = {"boto3", "botocore", "s3transfer"}


@cache
def store_errors() -> tuple[type[Exception], ...]:
    """Return what S3's library raises, which has no common base but Exception; nothing where it isn't installed."""
    if find_spec("boto3") is None:
        return ()
    api, transfer = import_module("botocore.exceptions"), import_module("s3transfer.exceptions")
    return (
        api.BotoCoreError,
        api.ClientError,
        transfer.RetriesExceededError,
        transfer.S3DownloadFailedError,
        transfer.S3UploadFailedError,
    )


def is_of_store(error: Exception) -> bool:
    """Tell whether S3's library raised it, without loading that where it isn't in use."""
    return type(error).__module__.partition(".")[0] in LIBRARIES and isinstance(error, store_errors())


def said_by(error: Exception) -> str:
    """Return what the store, or the way to it, said; in one line."""
    last = getattr(error, "last_exception", None)  # of several attempts; the error itself says only that they failed
    return " ".join(str(last or error).split())


def is_missing(error: Exception) -> bool:
    """Tell whether the store said that there is no such file. Asked by HEAD, it says so of a missing bucket too."""
    response = getattr(error, "response", {})
    return response.get("Error", {}).get("Code") in ("NoSuchKey", "404")


def name_of(storage: Storage) -> str:
    """Return what people call the place where files are: of a store its bucket, else the kind of the storage."""
    bucket = getattr(storage, "bucket_name", None)
    return f"the bucket {bucket}" if bucket else type(storage).__name__
