"""Where uploaded files are kept: from the environment to Django's `STORAGES`."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from config import env

_PARAMETERS = {"endpoint": "endpoint_url", "region": "region_name"}
PROBE_SECONDS = 2
"""How long health waits for the store to be connected, and then for its answer: whoever asks waits no longer."""


def backends() -> dict[str, dict[str, Any]]:
    """The storages of files: as `default`, the folder media in DATA_DIR, or the store that STORAGE_URL names.

    With a store comes `probe`: the same, asked once and not for long, from which health learns how it is.

    Raises:
        ConfigurationError: the URL has a parameter that nothing knows, or the package for it is missing.
    """
    url = urlsplit(env.STORAGE_URL.get())
    if not url.scheme:
        return {"default": {"BACKEND": "django.core.files.storage.FileSystemStorage"}}
    if find_spec("storages") is None or find_spec("boto3") is None:
        raise env.STORAGE_URL.refusal("nothing, or the extra `s3` to be installed: uv sync --extra s3")
    parameters = dict(parse_qsl(url.query, keep_blank_values=True))
    if unknown := sorted(set(parameters) - set(_PARAMETERS)):
        raise env.STORAGE_URL.refusal(f"{env.STORAGE_URL.wants}, without the parameter {unknown[0]}")
    options = {
        "bucket_name": url.netloc,
        "location": url.path.strip("/"),
        "file_overwrite": False,
        "querystring_auth": True,
        **{_PARAMETERS[name]: value for name, value in parameters.items()},
    }
    connect, read = env.STORAGE_CONNECT_TIMEOUT.get(), env.STORAGE_READ_TIMEOUT.get()
    patient = _patience(connect, read, env.STORAGE_ATTEMPTS.get())
    hasty = _patience(min(connect, PROBE_SECONDS), min(read, PROBE_SECONDS), 1)
    return {
        name: {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": {**options, **patience}}
        for name, patience in (("default", patient), ("probe", hasty))
    }


def _patience(connect: int, read: int, attempts: int) -> dict[str, Any]:
    """Return the options that bound how long a store is waited for, in seconds, and how often it is asked."""
    config = import_module("botocore.config").Config(
        connect_timeout=connect,
        read_timeout=read,
        retries={"mode": "standard", "total_max_attempts": attempts},
    )
    # Downloads that break off are begun anew by a layer above, which by itself tries five times.
    transfer = import_module("boto3.s3.transfer").TransferConfig(num_download_attempts=attempts)
    return {"client_config": config, "transfer_config": transfer}
