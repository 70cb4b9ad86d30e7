"""The doctor: checks an installation, and says what is wrong and how to mend it.

Each check is a small function that yields findings: one for each thing that is wrong, and one that says what is
well, which is told only where nothing is wrong. The tables below list them in the order in which they are told; a
new check is a function, and a line there.
"""

from collections.abc import Callable, Iterator
from functools import partial

from django.db import Error

from core.doctor import installation, server, structure, work
from core.doctor.examination import Examination
from core.doctor.findings import Finding, Level, problem, warning

__all__ = ["Finding", "Level", "examine"]

INSTALLATION: dict[str, Callable[[], Iterator[Finding]]] = {
    "variables": installation.check_variables,
    "mode": installation.check_mode,
    "secret key": installation.check_secret_key,
    "Django": installation.check_django,
    "media": installation.check_media,
    "static files": installation.check_static,
}
SERVER: dict[str, Callable[[], Iterator[Finding]]] = {
    "version": server.check_version,
    "settings": server.check_settings,
}
STRUCTURE: dict[str, Callable[[Examination], Iterator[Finding]]] = {
    "extensions": server.check_extensions,
    "migrations": structure.check_pending,
    "models": structure.check_models,
    "tables": structure.check_tables,
    "triggers": structure.check_triggers,
    "workers": work.check_workers,
    "jobs": work.check_jobs,
}
# What compares definitions, for which temporary tables are made: the owner may make them, the serving role mustn't.
DEFINITIONS: dict[str, Callable[[Examination], Iterator[Finding]]] = {
    "columns": structure.check_columns,
    "indexes": structure.check_indexes,
    "constraints": structure.check_constraints,
    "functions": structure.check_functions,
}


def examine() -> Iterator[tuple[str, Finding]]:
    """Run every check; yield each finding, as soon as it is made, with its check's name.

    Where the database is out of reach, or the role may not compare definitions, the checks that need it are named in a
    warning instead.
    """
    for name, check in INSTALLATION.items():
        yield from _run(name, check)
    connection = list(_run("connection", server.check_connection))
    yield from connection
    if any(finding.level is Level.PROBLEM for _, finding in connection):
        names = ", ".join((*SERVER, *STRUCTURE, *DEFINITIONS))
        yield "database", warning(f"Not checked: {names}.", "First mend the connection.")
        return
    for name, check in SERVER.items():
        yield from _run(name, check)
    examination = Examination()
    for name, look in STRUCTURE.items():
        yield from _run(name, partial(look, examination))
    if not server.may_compare():
        yield (
            "definitions",
            warning(
                f"Not checked: {', '.join(DEFINITIONS)}. This role may make no temporary tables to compare them with.",
                "Run the doctor as the role that owns the database.",
            ),
        )
        return
    for name, look in DEFINITIONS.items():
        yield from _run(name, partial(look, examination))


def _run(name: str, check: Callable[[], Iterator[Finding]]) -> Iterator[tuple[str, Finding]]:
    """Run a check; one that the database refuses to answer is a finding too."""
    findings: list[Finding] = []
    try:
        for finding in check():
            findings.append(finding)  # one by one: what was found before an error counts
    except Error as error:
        reason = " ".join(str(error).split())
        findings.append(problem(f"Not checked: {reason}.", "Mend what else is named here, and look again."))
    wrong = [finding for finding in findings if finding.level is not Level.OK]
    for finding in wrong or findings:
        yield name, finding
