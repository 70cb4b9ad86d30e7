"""Documents: how large, and what reading one may take."""

from config.variables import number

DOCUMENT_MAX_BYTES = number(
    "DOCUMENT_MAX_BYTES", 1, 2**28, 50 * 2**20, "How large a file may be that is taken as a document.", unit="bytes"
)
DOCUMENT_MAX_CHARACTERS = number(
    "DOCUMENT_MAX_CHARACTERS",
    1,
    10**8,
    5_000_000,
    "How long a document's text may be, in characters. 5 million are some 2,000 pages, and half an hour of embedding.",
)
EXTRACTION_MEMORY_BYTES = number(
    "EXTRACTION_MEMORY_BYTES",
    2**27,
    2**36,
    2**30,
    "How much memory the process may take that reads a document's file.",
    unit="bytes",
)
EXTRACTION_SECONDS = number(
    "EXTRACTION_SECONDS",
    1,
    3600,
    60,
    "How much processor time that process may take, and half of how long it may last.",
    unit="seconds",
)
