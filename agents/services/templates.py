"""Templates: checked when they are saved, rendered with variables."""

from collections.abc import Mapping
from typing import Any

import orjson
from django.core.exceptions import ValidationError
from django.db.models import F

from agents.models import Template
from agents.templating import limits
from agents.templating.language import Language, is_variable
from agents.templating.limits import TemplateError
from agents.templating.paths import Folder, check_path


def check(*, files: Any, required_variables: Any, optional_variables: Any) -> None:
    """Raise ValidationError unless each file parses, and uses only the variables that the template declares.

    Every file's problem is told at once.
    """
    errors: dict[str, list[ValidationError]] = {}
    declared = _declared(required_variables, optional_variables, errors)
    if problems := _shape(files):
        errors["files"] = problems
    else:
        language = Language()
        found = [problem for path, text in files.items() if (problem := _file(language, path, text, declared))]
        if found:
            errors["files"] = [ValidationError(problem, "invalid") for problem in found]
    if errors:
        raise ValidationError(errors)


def render(*, template: Template, variables: Mapping[str, Any]) -> dict[str, str]:
    """Return the template's files, path to content, with the variables filled in; and count the use.

    Raises ValidationError: for each required variable that is missing and each that the template doesn't know,
    in field ``variables.<name>``; in field ``files`` for what can't be rendered with these values. The limits
    stand in agents.templating.limits.
    """
    values = _values(template, variables)
    language = Language()
    folder = Folder()
    rendered: dict[str, str] = {}
    for source_path, source in template.files.items():
        try:
            path = language.fill(source_path, values)
            folder.add(path)
            rendered[path] = language.fill(source, values)
        except TemplateError as error:
            raise ValidationError({"files": ValidationError(f"{source_path}: {error}.", "unrenderable")}) from error
    Template.objects.filter(pk=template.pk).update(usage_count=F("usage_count") + 1)
    return rendered


def _values(template: Template, variables: Mapping[str, Any]) -> dict[str, Any]:
    errors: dict[str, ValidationError] = {}
    required = template.required_variables
    for name in required:
        if name not in variables:
            errors[f"variables.{name}"] = ValidationError(f"The template needs the variable “{name}”.", "required")
    for name in variables:
        if name not in required and name not in template.optional_variables:
            errors[f"variables.{name}"] = ValidationError(f"The template has no variable “{name}”.", "unknown")
    if errors:
        raise ValidationError(errors)
    values = template.optional_variables | dict(variables)
    try:
        size = len(orjson.dumps(values))
    except orjson.JSONEncodeError as error:
        raise ValidationError({"variables": ValidationError("They are nested too deeply.", "invalid")}) from error
    if size > limits.MAX_VARIABLES_BYTES:
        message = f"They take more than {limits.MAX_VARIABLES_BYTES:,} bytes."
        raise ValidationError({"variables": ValidationError(message, "max_length")})
    return values


def _declared(required: Any, optional: Any, errors: dict[str, list[ValidationError]]) -> set[str]:
    """Return the names of all variables, and note what is wrong with them."""
    names: dict[str, list[Any]] = {
        "required_variables": list(required),
        "optional_variables": list(optional) if isinstance(optional, dict) else [],
    }
    if not isinstance(optional, dict):
        errors["optional_variables"] = [ValidationError("It must lead from variables to their defaults.", "invalid")]
    for field, given in names.items():
        for name in given:
            if not is_variable(name):
                message = (
                    f"“{name}” can't be a variable: names are letters, digits and “_”, and no word of the language."
                )
                errors.setdefault(field, []).append(ValidationError(message, "invalid"))
    twice = {name for name in names["required_variables"] if names["required_variables"].count(name) > 1}
    twice |= set(names["required_variables"]) & set(names["optional_variables"])
    for name in sorted(twice):
        message = f"“{name}” is declared twice."
        errors.setdefault("required_variables", []).append(ValidationError(message, "invalid"))
    return {*names["required_variables"], *names["optional_variables"]}


def _shape(files: Any) -> list[ValidationError]:
    if not isinstance(files, dict) or not files or not all(isinstance(text, str) for text in files.values()):
        return [ValidationError("They must lead from paths to texts, and be one at least.", "invalid")]
    if len(files) > limits.MAX_FILES:
        return [ValidationError(f"There are more than {limits.MAX_FILES}.", "max_length")]
    if sum(len(path.encode()) + len(text.encode()) for path, text in files.items()) > limits.MAX_SOURCE_BYTES:
        return [ValidationError(f"They take more than {limits.MAX_SOURCE_BYTES:,} bytes.", "max_length")]
    return []


def _file(language: Language, path: str, text: str, declared: set[str]) -> str | None:
    """Return what is wrong with a file, or None."""
    try:
        in_path = language.variables(path)
        if not in_path and "{" not in path:
            check_path(path)
        unknown = (in_path | language.variables(text)) - declared
    except TemplateError as error:
        return f"{path}: {error}."
    if unknown:
        return (
            f"{path}: it uses {', '.join(f'“{name}”' for name in sorted(unknown))}, which the template doesn't declare."
        )
    return None
