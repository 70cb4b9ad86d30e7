"""What the doctor compares: migrations, tables, columns, indexes, constraints, functions and triggers."""

from collections.abc import Iterator, Mapping

from django.apps import apps
from django.core.management.commands.makemigrations import Command as MakeMigrations
from django.db.migrations.state import ProjectState
from pgtrigger import registered
from pgtrigger.core import INSTALLED, OUTDATED

from core.doctor.examination import Examination
from core.doctor.findings import Finding, ok, problem, warning
from core.doctor.schema import FUNCTION_MADE, Part, Table


def check_pending(examination: Examination) -> Iterator[Finding]:
    """Compare the migrations that are applied with those that the program brings."""
    pending = examination.pending
    applied = examination.executor.loader.applied_migrations
    unknown = sorted(node for node in applied if node not in examination.executor.loader.graph.nodes)
    if pending:
        names = ", ".join(str(migration) for migration in pending[:5]) + (", …" if len(pending) > 5 else "")
        yield problem(f"{len(pending)} migrations aren't applied: {names}.", "manage.py migrate")
    ours = {migration.app_label for migration in examination.migrations}
    for app, name in unknown:
        # What another app left behind is no business of ours; what a newer version of ours did is.
        if app in ours and not _was_replaced(examination, app, name):
            yield warning(
                f"{app}.{name} is applied, but this program doesn't bring it: the database is newer.",
                "Install the version that was used last.",
            )
    yield ok(f"all {len(applied)} are applied")


def _was_replaced(examination: Examination, app: str, name: str) -> bool:
    """Tell whether a squashed migration stands for this one."""
    return any((app, name) in migration.replaces for migration in examination.migrations)


def check_models(examination: Examination) -> Iterator[Finding]:
    """See that no model was changed without a migration, as `makemigrations --check` does."""
    loader = examination.executor.loader
    detector = MakeMigrations.autodetector(loader.project_state(), ProjectState.from_apps(apps))
    changes = detector.changes(graph=loader.graph)
    for app, migrations in changes.items():
        steps = "; ".join(operation.describe() for migration in migrations for operation in migration.operations)
        yield problem(f"The models of {app} differ from its migrations: {steps}.", f"manage.py makemigrations {app}")
    yield ok("models and migrations agree")


def check_tables(examination: Examination) -> Iterator[Finding]:
    """Look for each model's table."""
    missing = [model for model in examination.models if model._meta.db_table not in examination.actual.tables]
    for model in missing:
        app = model._meta.app_label
        yield problem(
            f"The table {model._meta.db_table} is missing.",
            f"Restore it from a backup, or make an empty one as migrations do (manage.py sqlmigrate {app} …).",
        )
    yield ok(_extent(examination, len(examination.models)))


def _extent(examination: Examination, count: int) -> str:
    """Return how much was found in order, and what wasn't looked at."""
    skipped = ", ".join(sorted(examination.pending_apps))
    return f"{count} in order" + (f"; not looked at before they are migrated: {skipped}" if skipped else "")


def _tables(examination: Examination) -> Iterator[tuple[str, Table, Table]]:
    """Return the tables that stand: their names, what they should be, and what they are."""
    for model in examination.models:
        name = model._meta.db_table
        if name in examination.actual.tables:
            yield name, examination.wanted.tables[name], examination.comparable.tables[name]


def check_columns(examination: Examination) -> Iterator[Finding]:
    """Compare each column's type, default and nullability."""
    sound = 0
    for table, wanted, actual in _tables(examination):
        for name, definition in wanted.columns.items():
            if name not in actual.columns:
                yield problem(
                    f"The column {table}.{name} is missing.", f"ALTER TABLE {table} ADD COLUMN {name} {definition};"
                )
            elif actual.columns[name] != definition:
                yield problem(
                    f"The column {table}.{name} is “{actual.columns[name]}”, and should be “{definition}”.",
                    f"ALTER TABLE {table} ALTER COLUMN {name} …;",
                )
            else:
                sound += 1
    yield ok(_extent(examination, sound))


def check_indexes(examination: Examination) -> Iterator[Finding]:
    """Compare the indexes, and look for those that a failed CREATE INDEX CONCURRENTLY left invalid."""
    sound = 0
    for _, wanted, actual in _tables(examination):
        for name, part in wanted.indexes.items():
            found, fits = _find(name, part, actual.indexes)
            make = part.definition.format(name=name) + ";"
            if found is None:
                yield problem(f"The index {name} is missing.", make)
            elif not fits:
                yield problem(f"The index {name} isn't as it should be.", f"DROP INDEX {found}; {make}")
            elif not actual.indexes[found].valid:
                yield problem(f"The index {found} is invalid.", f"REINDEX INDEX CONCURRENTLY {found};")
            else:
                sound += 1
    yield ok(_extent(examination, sound))


def check_constraints(examination: Examination) -> Iterator[Finding]:
    """Compare the constraints, and look for those that were never validated."""
    sound = 0
    for table, wanted, actual in _tables(examination):
        for name, part in wanted.constraints.items():
            found, fits = _find(name, part, actual.constraints)
            add = f"ADD CONSTRAINT {name} {part.definition};"
            if found is None:
                yield problem(f"The constraint {name} of {table} is missing.", f"ALTER TABLE {table} {add}")
            elif not fits:
                yield problem(
                    f"The constraint {name} of {table} is “{actual.constraints[found].definition}”.",
                    f"ALTER TABLE {table} DROP CONSTRAINT {found}, {add}",
                )
            elif not actual.constraints[found].valid:
                yield problem(
                    f"The constraint {found} of {table} isn't validated: old rows may break it.",
                    f"ALTER TABLE {table} VALIDATE CONSTRAINT {found};",
                )
            else:
                sound += 1
    yield ok(_extent(examination, sound))


def _find(name: str, part: Part, among: Mapping[str, Part]) -> tuple[str | None, bool]:
    """Return the name under which a part stands (None: it doesn't), and whether it is defined as it should be.

    Names that Django makes up depend on the history of a table, so another name will do where all else fits.
    """
    if name in among:
        return name, among[name].definition == part.definition
    same = (other for other, candidate in among.items() if candidate.definition == part.definition)
    found = next(same, None)
    return found, found is not None


def check_functions(examination: Examination) -> Iterator[Finding]:
    """Compare the functions that migrations make."""
    made_by = {
        name: migration
        for migration, sql in examination.function_statements()
        for name in FUNCTION_MADE.findall(sql)
        if migration.app_label not in examination.pending_apps
    }

    def wrong(name: str, what: str) -> Finding:
        source = f"manage.py sqlmigrate {made_by[name].app_label} {made_by[name].name}"
        return problem(f"The function {name} {what}.", f"Make it anew, as this prints it: {source}")

    missing = made_by.keys() - examination.actual.functions.keys()
    for name in sorted(missing):
        yield wrong(name, "is missing")
    for name in sorted(made_by.keys() - missing):
        # One that calls a missing one can't be made for comparison.
        wanted = examination.wanted.functions.get(name)
        if wanted is not None and wanted != examination.comparable.functions[name]:
            yield wrong(name, "isn't what its migration made")
    yield ok(_extent(examination, len(made_by)))


def check_triggers(examination: Examination) -> Iterator[Finding]:
    """Look for triggers that are missing, outdated or disabled."""
    sound = 0
    judged = set(examination.models)
    for model, trigger in registered():
        if model not in judged:
            continue
        name = f"{model._meta.label}:{trigger.name}"
        status, enabled = trigger.get_installation_status(model)
        install = f"manage.py pgtrigger install {name}"
        if status == OUTDATED:
            yield problem(f"The trigger {name} is outdated.", install)
        elif status != INSTALLED:
            yield problem(f"The trigger {name} is missing.", install)
        elif not enabled:
            yield problem(f"The trigger {name} is disabled.", f"manage.py pgtrigger enable {name}")
        else:
            sound += 1
    yield ok(_extent(examination, sound))
