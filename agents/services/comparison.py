"""What changed between two contexts of a project.

Paths are JSON Pointers (RFC 6901): ``/packages/0/name``, with ``~`` and ``/`` in keys written as ``~0`` and ``~1``;
the document as a whole is the empty path. DeepDiff finds the differences; around it stand the bounds that keep any
two documents from costing more than about a second, however large.
"""

from decimal import Decimal
from typing import Any

from agents.models import ProjectContext
from core.errors import ConflictError

DOCUMENTS = ("codebase", "configuration", "dependencies")
SCORES = ("test_coverage", "security_score", "performance_score")
MAX_VALUES = 10_000  # in either document, without the parts that are equal
MAX_DEPTH = 50
SHOWN_ROWS = 200
ALIGNED_ITEMS = 100  # aligning lists takes time that grows with the square of their length


def compare(*, old: ProjectContext, new: ProjectContext) -> dict[str, Any]:
    """Return what was added, removed and changed in each document, and how each score moved.

    Raises ConflictError when documents differ so widely, or are nested so deeply, that they can't be compared.
    """
    answer: dict[str, Any] = {"project": old.project_id, "from": old.version, "to": new.version}
    for name in DOCUMENTS:
        answer[name] = differences(getattr(old, name), getattr(new, name), name)
    answer["scores"] = {name: _score(getattr(old, name), getattr(new, name)) for name in SCORES}
    return answer


def since_previous(*, context: ProjectContext) -> dict[str, Any] | None:
    """Return what changed since the version before, as a page shows it; None for a first version.

    ``rows`` are the first 200 changes, each with ``path``, ``before`` and ``after`` (None where there was nothing,
    else a ``value``); ``more`` counts the others; ``refusal`` says why there is no comparison.
    """
    earlier = ProjectContext.objects.filter(project=context.project_id, version__lt=context.version)
    previous = earlier.order_by("-version").first()
    if previous is None:
        return None
    try:
        found = compare(old=previous, new=context)
    except ConflictError as error:
        return {"refusal": str(error)}
    rows = [row for name in DOCUMENTS for row in _rows(name, found[name])]
    rows += [
        {"path": name, "before": {"value": score["old"]}, "after": {"value": score["new"]}}
        for name, score in found["scores"].items()
        if score["old"] != score["new"]
    ]
    return {
        "from": previous.version,
        "to": context.version,
        "rows": rows[:SHOWN_ROWS],
        "more": max(0, len(rows) - SHOWN_ROWS),
    }


def _rows(name: str, found: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    rows = [{"path": name + each["path"], "before": None, "after": each} for each in found["added"]]
    rows += [{"path": name + each["path"], "before": each, "after": None} for each in found["removed"]]
    rows += [
        {"path": name + each["path"], "before": {"value": each["old"]}, "after": {"value": each["new"]}}
        for each in found["changed"]
    ]
    return sorted(rows, key=lambda row: row["path"])


def differences(old: Any, new: Any, name: str = "document") -> dict[str, list[dict[str, Any]]]:
    """Return the values that were added, removed and changed between two JSON documents, each with its path.

    Paths of what was removed and changed are those of the old document, of what was added those of the new one.
    Lists of up to 100 texts or numbers are aligned first, others compared position by position.
    """
    try:
        return _differences(*_differing(old, new))
    except (_TooManyError, RecursionError) as error:
        raise ConflictError(
            f"“{name}” can't be compared between these versions: they differ too widely.", field=name
        ) from error


class _TooManyError(Exception):
    """The documents hold more values than are compared."""


def _tree(old: Any, new: Any, *, aligned: bool) -> Any:
    """Return the differences as DeepDiff's tree. Texts are taken as wholes: it would compare them line by line."""
    from deepdiff import DeepDiff  # here, because it takes each process 5 MB, and few compare
    from deepdiff.operator import BaseOperator

    class WholeTexts(BaseOperator):
        def give_up_diffing(self, level: Any, diff_instance: DeepDiff) -> bool:
            if level.t1 != level.t2:
                diff_instance.custom_report_result("values_changed", level)
            return True

    return DeepDiff(
        old,
        new,
        view="tree",
        custom_operators=[WholeTexts(types=[str])],
        ignore_private_variables=False,  # keys that begin with “__” are keys like others
        threshold_to_diff_deeper=0,
        zip_ordered_iterables=not aligned,
    )


def _differences(old: Any, new: Any) -> dict[str, list[dict[str, Any]]]:
    longest = max(_measure(old), _measure(new))
    tree = _tree(old, new, aligned=longest <= ALIGNED_ITEMS)
    found: dict[str, list[dict[str, Any]]] = {"added": [], "removed": [], "changed": []}
    for kind, levels in tree.items():
        for level in levels:
            if kind in ("dictionary_item_added", "iterable_item_added"):
                found["added"].append({"path": _pointer(level, in_new=True), "value": level.t2})
            elif kind in ("dictionary_item_removed", "iterable_item_removed"):
                found["removed"].append({"path": _pointer(level), "value": level.t1})
            else:
                found["changed"].append({"path": _pointer(level), "old": level.t1, "new": level.t2})
    for each in found.values():
        each.sort(key=lambda difference: difference["path"])
    return found


def _differing(old: Any, new: Any) -> tuple[Any, Any]:
    """Return both documents without the parts of objects that are equal, which costs next to nothing."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return old, new
    olds, news = dict(old), dict(new)
    for key in old.keys() & new.keys():
        if _same(old[key], new[key]):
            del olds[key], news[key]
        else:
            olds[key], news[key] = _differing(old[key], new[key])
    return olds, news


def _same(old: Any, new: Any) -> bool:
    """Tell whether two values are the same JSON; to Python, ``true`` and ``1`` are equal."""
    return old == new and repr(old) == repr(new)


def _measure(document: Any) -> int:
    """Return the length of the longest list; raise _TooManyError beyond the bounds of what is compared."""
    longest = count = 0
    waiting = [(document, 0)]
    while waiting:
        value, depth = waiting.pop()
        count += 1
        if count > MAX_VALUES or depth > MAX_DEPTH:
            raise _TooManyError
        if isinstance(value, list):
            longest = max(longest, len(value))
        children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        waiting.extend((child, depth + 1) for child in children)
    return longest


def _pointer(level: Any, *, in_new: bool = False) -> str:
    keys = level.path(output_format="list", use_t2=in_new)
    return "".join("/" + str(key).replace("~", "~0").replace("/", "~1") for key in keys)


def _score(old: Decimal | None, new: Decimal | None) -> dict[str, str | None]:
    difference = None if old is None or new is None else str(new - old)
    return {"old": _text(old), "new": _text(new), "difference": difference}


def _text(score: Decimal | None) -> str | None:
    return None if score is None else str(score)
