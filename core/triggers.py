"""Rules that the database keeps by trigger, declared on models.

Each class here attaches one shared PL/pgSQL function (made by core's first migration) to a table. That
differs from django-pgtrigger's own triggers, which carry a function each and obey its ``pgtrigger.ignore``
setting: a rule that any session can switch off with ``set_config`` would not be a rule.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import pgtrigger
from pgtrigger import compiler


class SharedTriggerSql(compiler.UpsertTriggerSql):
    """The SQL of a trigger that executes a shared function. Migrations refer to it: keep it compatible."""

    def get_template(self) -> str:
        """Return the installation template; django-pgtrigger fills and hashes it."""
        return """
            DROP TRIGGER IF EXISTS {pgid} ON {table};
            CREATE {constraint} TRIGGER {pgid}
                {when} {operation} ON {table}
                {timing} {referencing}
                FOR EACH {level} {condition}
                EXECUTE FUNCTION {execute};
            COMMENT ON TRIGGER {pgid} ON {table} IS '{hash}';
        """


def quote_literal(text: str) -> str:
    """Return ``text`` as an SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


class SharedTrigger(pgtrigger.Trigger):
    """A trigger that executes ``function`` with ``arguments``, all of them text as ``TG_ARGV`` wants.

    Where django-pgtrigger's annotations say that a method takes a model's instance, it takes the class.
    """

    function: str
    arguments: Sequence[str] = ()
    when = pgtrigger.Before
    func = "RETURN NULL;"

    def render_execute(self, model: Any) -> str:
        """Return the call of the shared function."""
        return f"{self.function}({', '.join(map(quote_literal, self.arguments))})"

    def compile(self, model: Any) -> compiler.Trigger:
        """Return the trigger as migrations store it."""
        sql = SharedTriggerSql(
            pgid=self.get_pgid(model),
            func="",
            table=model._meta.db_table,
            constraint="CONSTRAINT" if self.timing else "",
            when=self.when,
            operation=self.operation,
            timing=f"DEFERRABLE INITIALLY {self.timing}" if self.timing else "",
            referencing=str(self.referencing or ""),
            level=self.level,
            condition=self.render_condition(model),
            execute=self.render_execute(model),
        )
        return compiler.Trigger(name=self.name, sql=sql)


class Touch(SharedTrigger):
    """Sets ``updated_at`` to the database's clock whenever a row really changes, whoever writes.

    ``counts`` says that the change is counted in ``row_version`` too; ``generated`` names the generated columns.
    """

    name = "touch"
    operation = pgtrigger.Update
    function = "muster_touch"

    def __init__(self, *, counts: bool = False, generated: Collection[str] = ()) -> None:
        self.arguments: tuple[str, ...] = ("row_version",) if counts else ()
        if generated:
            self.arguments = ("row_version" if counts else "", json.dumps(dict.fromkeys(generated)))
        super().__init__()


class Immutable(SharedTrigger):
    """Refuses to change the named columns once a row stands."""

    operation = pgtrigger.Update
    function = "muster_immutable"

    def __init__(self, *columns: str, name: str = "immutable") -> None:
        self.arguments = columns
        super().__init__(name=name)


class AfterStatement(SharedTrigger):
    """Runs once after each statement of one kind, over all the rows that it wrote.

    ``prefix`` begins the trigger's name, which the operation ends. The function finds the rows as they were in the
    table ``old_rows``, and as they are in ``new_rows``; they may share a name where no operation has both.
    """

    when = pgtrigger.After
    level = pgtrigger.Statement
    prefix: str
    old_rows, new_rows = "old_rows", "new_rows"

    def __init__(self, operation: Any) -> None:
        old = self.old_rows if operation in (pgtrigger.Update, pgtrigger.Delete) else None
        new = self.new_rows if operation in (pgtrigger.Update, pgtrigger.Insert) else None
        super().__init__(
            name=f"{self.prefix}_{str(operation).lower()}",
            operation=operation,
            referencing=pgtrigger.Referencing(old=old, new=new) if old or new else None,
        )


class AppendOnly(SharedTrigger):
    """Refuses UPDATE and DELETE of any row."""

    name = "append_only"
    operation = pgtrigger.Update | pgtrigger.Delete
    function = "muster_append_only"


class NoTruncate(SharedTrigger):
    """Refuses TRUNCATE of the table."""

    name = "no_truncate"
    level = pgtrigger.Statement
    operation = pgtrigger.Truncate
    function = "muster_append_only"


class Transitions(SharedTrigger):
    """Lets ``column`` change only along the drawn ``moves``, pairs of old and new value.

    A move that isn't drawn fails with SQLSTATE 23514 (check_violation), naming table, column and both values.
    """

    operation = pgtrigger.Update
    function = "muster_transition"

    def __init__(self, column: str, moves: Iterable[tuple[str, str]]) -> None:
        self.arguments = (column, *(f"{old}>{new}" for old, new in moves))
        super().__init__(name=f"{column}_transitions")


class Deliver(SharedTrigger):
    """Writes a delivery of an event for each webhook that is subscribed to it, and wakes the dispatcher."""

    name = "deliver"
    when = pgtrigger.After
    operation = pgtrigger.Insert
    function = "muster_deliver"


class Notify(SharedTrigger):
    """Enqueues a message for each integration that is to be told of an event."""

    name = "notify"
    when = pgtrigger.After
    operation = pgtrigger.Insert
    function = "muster_notify"


class Audit(SharedTrigger):
    """Writes one AuditEvent for each row that is inserted, changed or deleted, in the same transaction.

    Arguments: ``resource`` is the first half of the event type; ``organization`` the column that holds the
    organization's id (none: the event belongs to no organization); ``redact`` the columns whose values are
    secret; ``ignore`` those whose change alone is no event; ``status`` and ``verbs`` name the events of
    status moves (``{"pending>paid": "pay"}`` gives ``order.pay``).
    """

    name = "audit"
    when = pgtrigger.After
    operation = pgtrigger.Insert | pgtrigger.Update | pgtrigger.Delete
    function = "muster_audit"

    def __init__(
        self,
        resource: str,
        *,
        organization: str | None = "organization_id",
        redact: Iterable[str] = (),
        ignore: Iterable[str] = (),
        status: str | None = None,
        verbs: Mapping[str, str] | None = None,
    ) -> None:
        options: dict[str, Any] = {
            "organization": organization,
            "redact": sorted(redact),
            "ignore": sorted({"row_version", "updated_at", *ignore}),
        }
        if status:
            options |= {"status": status, "verbs": dict(verbs or {})}
        self.arguments = (resource, json.dumps(options, sort_keys=True))
        super().__init__()
