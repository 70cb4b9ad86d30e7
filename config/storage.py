"""Where uploaded files are kept: from the environment to the default of Django's `STORAGES`."""

from importlib.util import find_spec
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from config import env

_PARAMETERS = {"endpoint": "endpoint_url", "region": "region_name"}


def backend() -> dict[str, Any]:
    """The storage of files: the folder media in DATA_DIR, or the store that STORAGE_URL names.

    Raises:
        ConfigurationError: the URL has a parameter that nothing knows, or the package for it is missing.
    """
    url = urlsplit(env.STORAGE_URL.get())
    if not url.scheme:
        return {"BACKEND": "django.core.files.storage.FileSystemStorage"}
    if find_spec("storages") is None or find_spec("boto3") is None:
        raise env.STORAGE_URL.refusal("nothing, or the extra `s3` to be installed: uv sync --extra s3")
    parameters = dict(parse_qsl(url.query, keep_blank_values=True))
    if unknown := sorted(set(parameters) - set(_PARAMETERS)):
        raise env.STORAGE_URL.refusal(f"{env.STORAGE_URL.wants}, without the parameter {unknown[0]}")
    return {
        "BACKEND": "storages.backends.s3.S3Storage",
        "OPTIONS": {
            "bucket_name": url.netloc,
            "location": url.path.strip("/"),
            "file_overwrite": False,
            "querystring_auth": True,
            **{_PARAMETERS[name]: value for name, value in parameters.items()},
        },
    }
