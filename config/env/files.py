"""Uploaded files and telemetry: where they go, how large they may be."""

from config.variables import Variable, matching, number

STORAGE_URL = Variable(
    "STORAGE_URL",
    matching(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9!_.*'()/-]*)?(\?[^\s#]*)?"),
    "",
    "s3://BUCKET/FOLDER, and perhaps ?endpoint=https://HOST&region=REGION",
    "Keep uploaded files in an S3-compatible store, not in DATA_DIR. Needs the extra `s3` (uv sync --extra s3); the"
    " credentials are AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or whatever else the AWS SDK finds.",
    shown_default="none: the folder media in DATA_DIR",
    example="s3://muster/files?endpoint=https://s3.example.org&region=eu-central-1",
)
STORAGE_CONNECT_TIMEOUT = number(
    "STORAGE_CONNECT_TIMEOUT",
    1,
    600,
    5,
    "How long, in seconds, opening a connection to the store of STORAGE_URL may take.",
    unit="seconds",
)
STORAGE_READ_TIMEOUT = number(
    "STORAGE_READ_TIMEOUT",
    1,
    600,
    15,
    "How long, in seconds, the store of STORAGE_URL may be silent when an answer, or more of one, is due.",
    unit="seconds",
)
STORAGE_ATTEMPTS = number(
    "STORAGE_ATTEMPTS",
    1,
    10,
    2,
    "How often the store of STORAGE_URL is asked for the same before it counts as failed. An upload to a silent store"
    " waits so many times STORAGE_READ_TIMEOUT.",
)
ARTIFACT_MAX_BYTES = number(
    "ARTIFACT_MAX_BYTES", 1, 1_099_511_627_776, 1_073_741_824, "How large an uploaded artifact may be.", unit="bytes"
)
ARTIFACT_MAX_TEXT_BYTES = number(
    "ARTIFACT_MAX_TEXT_BYTES",
    1,
    104_857_600,
    1_048_576,
    "How large a text may be that an artifact keeps inline, in the database. Larger ones are to be uploaded.",
    unit="bytes",
)
TELEMETRY_MAX_BYTES = number(
    "TELEMETRY_MAX_BYTES",
    1,
    1_073_741_824,
    16_777_216,
    "How large a request of telemetry may be, as it comes.",
    unit="bytes",
)
TELEMETRY_MAX_DECOMPRESSED_BYTES = number(
    "TELEMETRY_MAX_DECOMPRESSED_BYTES",
    1,
    1_073_741_824,
    67_108_864,
    "How large a request of telemetry may be when decompressed.",
    unit="bytes",
)
