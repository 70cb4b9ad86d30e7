"""Entity tags, by which nobody overwrites what they haven't seen (RFC 9110, 8.8.3 and 13.1).

A record's tag is its version, which the database counts. Where the answer shows other rows too, whose changes the
record's version doesn't count, the tag has a digest of the answer besides.
"""

import hashlib
from typing import Any

from django.utils.http import parse_etags
from rest_framework.exceptions import APIException
from rest_framework.request import Request

from core.api.readpath import shows_others


class PreconditionFailed(APIException):
    """412: what is there isn't what If-Match names."""

    status_code = 412
    default_code = "precondition_failed"
    default_detail = "The record has changed since: read it again."


def entity_tag(serializer: Any, text: str, version: int | None) -> str | None:
    """Return the tag of a record that was rendered as ``text``; None where its changes aren't counted."""
    if version is None:
        return None
    kind: Any = type(serializer)
    if shows_others(kind):
        return f'"{version}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"'
    return f'"{version}"'


def is_unmodified(request: Request, tag: str | None) -> bool:
    """Tell whether If-None-Match names the tag, by weak comparison: the client has the record as it is."""
    given = request.META.get("HTTP_IF_NONE_MATCH")
    if tag is None or given is None:
        return False
    return any(each == "*" or each.removeprefix("W/") == tag for each in parse_etags(given))


def names_version(header: str, version: int | None) -> bool:
    """Tell whether If-Match names this version of a record, by strong comparison; ``*`` is any record that is there.

    Of a tag with a digest only the version counts: it is the record that is written, not what is shown beside it.
    """
    named = parse_etags(header)
    return named == ["*"] or (version is not None and str(version) in {each.strip('"').split("-")[0] for each in named})
