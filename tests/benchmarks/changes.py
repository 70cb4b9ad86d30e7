"""Changes over HTTP and by SQL of which the client knows what became of them: acknowledged, refused, or never told.

Each writes a mark of its own into a project's description, so that every event says which change it tells of.
"""

import itertools
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import Any

import psycopg

PATH = "/api/v1/projects/"
TRY_AGAIN = frozenset({409, 429, 503})
SECONDS = 30
REFUSED_SHARE = 0.2  # of the changes, how many more are made to be refused or rolled back


@dataclass
class Ledger:
    """What the clients know.

    Attributes:
        confirmed: marks of the changes that were acknowledged.
        refused: marks of those that were refused, or rolled back.
        unknown: marks of those that were tried once, and never answered.
        answers: how many there were of each kind.
        surprises: answers that no kill explains.
    """

    confirmed: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    answers: Counter[str] = field(default_factory=Counter)
    surprises: list[str] = field(default_factory=list)
    projects: list[str] = field(default_factory=list)
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def mark(self) -> str:
        """Return a new mark."""
        with self.lock:
            return f"change-{next(self.numbers)}"

    def note(self, status: int | None, *marks: str) -> None:
        """Note the last answer to a request that made these changes."""
        with self.lock:
            if status is None:
                self.unknown.update(marks)
            elif status < 300:
                self.confirmed.update(marks)
            else:
                self.refused.update(marks)


@dataclass(frozen=True)
class Plan:
    """Where the changes go, and how many: acknowledged changes in all, changes a second, and what seeds chance."""

    port: int
    key: str
    database: str
    changes: int
    rate: float
    clients: int
    seed: int
    commit_all: bool = False  # of SQL, what was to be rolled back too: a control


class Client(threading.Thread):
    """Makes changes, one after the other, until there are enough of them."""

    def __init__(self, plan: Plan, ledger: Ledger, number: int) -> None:
        super().__init__(daemon=True)
        self.plan, self.ledger = plan, ledger
        self.chance = random.Random(f"{plan.seed}:{number}")
        self.database = psycopg.connect(plan.database, application_name="psql")

    def run(self) -> None:
        try:
            with self.database:
                while len(self.ledger.confirmed) < self.plan.changes:
                    self.chance.choices(
                        [self.create, self.update, self.update_many, self.update_by_sql, self.race], [1, 10, 2, 2, 2]
                    )[0]()
                    if self.chance.random() < REFUSED_SHARE:
                        self.chance.choice([self.be_refused, self.roll_back])()
                    time.sleep(self.chance.uniform(0, 2) * self.plan.clients / self.plan.rate)
        except Exception as error:
            self.ledger.surprises.append(repr(error))
            raise

    # --- Changes that are to be made ---------------------------------------------------------------

    def create(self) -> None:
        """Make a project; until it is answered, with the same key, so that there is one."""
        mark = self.ledger.mark()
        status, made = self.insist("POST", PATH, {"name": mark, "description": mark}, {"Idempotency-Key": mark})
        self.ledger.note(status, mark)
        if status == 201:
            self.ledger.projects.append(made["id"])

    def update(self) -> None:
        """Change a project, until that is answered."""
        mark = self.ledger.mark()
        status, _ = self.insist("PATCH", f"{PATH}{self.project()}/", {"description": mark})
        self.ledger.note(status, mark)

    def update_many(self) -> None:
        """Change three projects with one request, named in any sequence."""
        marks = {project: self.ledger.mark() for project in self.some_projects(3)}
        rows = [{"id": project, "description": mark} for project, mark in marks.items()]
        status, _ = self.insist("PATCH", PATH, rows)
        self.ledger.note(status, *marks.values())

    def update_by_sql(self) -> None:
        """Change a project past the application."""
        self.by_sql(committed=True)

    # --- Changes of which some, or all, are refused --------------------------------------------------

    def race(self) -> None:
        """Change one version of a project twice at once: who loses the race is refused."""
        path, tags = f"{PATH}{self.project()}/", []
        if self.ask("GET", path, seen=tags.append)[0] != 200:
            return

        def change() -> None:
            mark = self.ledger.mark()
            status, _ = self.ask("PATCH", path, {"description": mark}, {"If-Match": tags[0]})
            self.ledger.note(None if status == 503 else status, mark)

        other = threading.Thread(target=change)
        other.start()
        change()
        other.join()

    def be_refused(self) -> None:
        """Change three projects with one request, two of them so that the second one's name is taken by then."""
        first, *others = self.some_projects(3)
        mark, name = self.ledger.mark(), self.ledger.mark()
        rows = [{"id": first, "description": mark}, *({"id": each, "name": name} for each in others)]
        status, _ = self.insist("PATCH", PATH, rows, allowed=frozenset({400, 409}))
        self.ledger.note(status, mark)

    def roll_back(self) -> None:
        """Change a project past the application, and think better of it."""
        self.by_sql(committed=False)

    # --- How ---------------------------------------------------------------------------------------

    def by_sql(self, *, committed: bool) -> None:
        """Change a project by SQL."""
        mark = self.ledger.mark()
        change = "UPDATE agents_project SET description = %s WHERE id = %s"
        with self.database.transaction() as transaction:
            self.database.execute(change, [mark, self.project()])
            time.sleep(self.chance.uniform(0, 0.05))
            if not committed and not self.plan.commit_all:
                raise psycopg.Rollback(transaction)
        self.ledger.note(200 if committed else 400, mark)

    def project(self) -> str:
        """Return one of the projects."""
        return self.chance.choice(self.ledger.projects)

    def some_projects(self, count: int) -> list[str]:
        """Return several of the projects."""
        return self.chance.sample(self.ledger.projects, count)

    def insist(
        self,
        method: str,
        path: str,
        body: Any,
        headers: dict[str, str] | None = None,
        *,
        allowed: frozenset[int] = frozenset(),
    ) -> tuple[int, Any]:
        """Ask until there is an answer, and return its status and content."""
        deadline = time.monotonic() + 10 * SECONDS
        while time.monotonic() < deadline:
            status, content = self.ask(method, path, body, headers)
            if status is not None and (status in allowed or status not in TRY_AGAIN):
                if status >= 300 and status not in allowed:
                    self.ledger.surprises.append(f"{method} {path}: {status} {content}")
                return status, content
            time.sleep(0.2)
        raise TimeoutError(f"{method} {path}")

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        *,
        seen: Callable[[str], None] = lambda tag: None,
    ) -> tuple[int | None, Any]:
        """Ask once, and return the answer's status and content, no status where none came; ``seen`` gets its ETag."""
        sent = {"Authorization": f"Bearer {self.plan.key}", "Content-Type": "application/json", **(headers or {})}
        connection = HTTPConnection("127.0.0.1", self.plan.port, timeout=SECONDS)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), sent)
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, HTTPException) as error:
            with self.ledger.lock:
                self.ledger.answers[type(error).__name__] += 1
            return None, None
        finally:
            connection.close()
        with self.ledger.lock:
            self.ledger.answers[str(answer.status)] += 1
        seen(answer.getheader("ETag", ""))
        return answer.status, json.loads(content) if content else None
