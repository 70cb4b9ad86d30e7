"""What several checks look at, found out once."""

from collections.abc import Iterator
from functools import cached_property

from django.apps import apps
from django.db import connection, models
from django.db.migrations import Migration
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.operations import RunSQL, SeparateDatabaseAndState
from django.db.migrations.operations.base import Operation

from core.doctor.schema import FUNCTION_MADE, Schema, read_schema, wanted_schema, words_of_dumps


class Examination:
    """One look at the database: which migrations are applied, what stands in it, what should."""

    @cached_property
    def executor(self) -> MigrationExecutor:
        """Return Django's executor, which has read the applied migrations."""
        return MigrationExecutor(connection)

    @cached_property
    def migrations(self) -> list[Migration]:
        """Return all migrations, in an order in which they can be applied."""
        graph = self.executor.loader.graph
        plan = dict.fromkeys(node for leaf in graph.leaf_nodes() for node in graph.forwards_plan(leaf))
        return [graph.nodes[node] for node in plan]

    def operations(self) -> Iterator[tuple[Migration, Operation]]:
        """Return every migration's operations on the database, in order."""
        for migration in self.migrations:
            for operation in migration.operations:
                if isinstance(operation, SeparateDatabaseAndState):
                    yield from ((migration, each) for each in operation.database_operations)
                else:
                    yield migration, operation

    @cached_property
    def pending(self) -> list[Migration]:
        """Return the migrations that aren't applied."""
        targets = self.executor.loader.graph.leaf_nodes()
        return [migration for migration, _ in self.executor.migration_plan(targets)]

    @cached_property
    def pending_apps(self) -> set[str]:
        """Return the labels of the apps that wait for a migration, and whose tables can't be judged by then."""
        return {migration.app_label for migration in self.pending}

    @cached_property
    def models(self) -> list[type[models.Model]]:
        """Return the models whose tables can be judged, those that stand for many-to-many tables included."""
        return [
            model
            for model in apps.get_models(include_auto_created=True)
            if model._meta.can_migrate(connection) and model._meta.app_label not in self.pending_apps
        ]

    @cached_property
    def actual(self) -> Schema:
        """Return what stands in the database."""
        return read_schema()

    @cached_property
    def wanted(self) -> Schema:
        """Return what the models and the migrations' functions want to stand there."""
        return wanted_schema(sql for _, sql in self.function_statements())

    @cached_property
    def comparable(self) -> Schema:
        """Return what stands in the database, in the words of ``wanted`` where it means the same."""
        return self.actual.reworded(words_of_dumps(self.wanted, self.actual))

    def function_statements(self) -> list[tuple[Migration, str]]:
        """Return the statements by which migrations make functions, each with its migration.

        Only those of plain RunSQL: the queue's come from a library (a subclass of it), and change tables as well.
        """
        return [
            (migration, operation.sql)
            for migration, operation in self.operations()
            if type(operation) is RunSQL and isinstance(operation.sql, str) and FUNCTION_MADE.search(operation.sql)
        ]
