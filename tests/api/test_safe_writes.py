"""If-Match and If-None-Match, Idempotency-Key: no change is overwritten unseen, and nothing is done twice."""

from collections import Counter
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection

from agents.models import Task
from core import tasks
from core.models import APIKey, AuditEvent, IdempotencyKey, Organization, Role
from tests.factories import make
from tests.kit.cast import Actor, make_actor
from tests.kit.client import ORDINARY_WAY, ApiClient
from tests.kit.races import race
from tests.kit.sql import refused, run

TASKS = "/api/v1/tasks/"
BODY = {"name": "Look", "config": {"a": 1}}
db = pytest.mark.django_db
really = pytest.mark.django_db(transaction=True)


@pytest.fixture
def task(owner: Actor) -> Task:
    """A task of the owner's organization."""
    return make(Task, owner.organization)


def address(task: Task) -> str:
    return f"{TASKS}{task.pk}/"


# --- Versions --------------------------------------------------------------------------------------


@db
def test_the_database_counts_the_changes_of_every_writer(task: Task) -> None:
    for change in ("name = 'a'", "name = 'b', row_version = 99", "row_version = 1"):
        run(f"UPDATE agents_task SET {change} WHERE id = %s", task.pk)
    assert run("SELECT row_version FROM agents_task WHERE id = %s", task.pk) == [(4,)]


@db
def test_a_version_alone_is_no_event(task: Task) -> None:
    before = AuditEvent.objects.count()
    run("UPDATE agents_task SET row_version = 5 WHERE id = %s", task.pk)
    assert AuditEvent.objects.count() == before


# --- Entity tags -----------------------------------------------------------------------------------


@db
@pytest.mark.parametrize("way", [{}, ORDINARY_WAY], ids=["short", "ordinary"])
def test_a_detail_has_a_tag_that_changes_with_it(way: dict[str, str], task: Task, owner: Actor) -> None:
    client = owner.by_key
    first = client.get(address(task), headers=way)
    assert first.headers["ETag"] == '"1"'
    again = client.get(address(task), headers=way | {"If-None-Match": '"7", W/"1"'})
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", '"1"')
    changed = client.patch(address(task), {"name": "New"})
    assert changed.headers["ETag"] == '"2"' == client.get(address(task), headers=way).headers["ETag"]
    assert client.get(address(task), headers=way | {"If-None-Match": '"1"'}).status_code == 200


@db
def test_what_shows_other_rows_has_a_tag_that_changes_with_them(owner: Actor) -> None:
    from catalog.models import Order

    order = make(Order, owner.organization)
    path = f"/api/v1/orders/{order.pk}/"
    before = owner.by_key.get(path).headers["ETag"]
    order.customer.__class__.objects.filter(pk=order.customer_id).update(name="Somebody else")
    after = owner.by_key.get(path, headers={"If-None-Match": before})
    assert after.status_code == 200
    assert after.headers["ETag"] != before
    assert after.headers["ETag"].split("-")[0] == before.split("-")[0]


@db
@pytest.mark.parametrize(
    ("tags", "status"),
    [('"1"', 200), ("*", 200), ('"9", "1"', 200), ('"2"', 412), ('W/"1"', 412), ("1", 412), ("nonsense", 412)],
)
def test_if_match_lets_through_what_was_seen(tags: str, status: int, task: Task, owner: Actor) -> None:
    answer = owner.by_key.patch(address(task), {"name": "New"}, headers={"If-Match": tags})
    assert answer.status_code == status
    task.refresh_from_db()
    assert (task.name == "New") == (status == 200)
    if status == 412:
        assert answer.json()["type"] == "/api/problems/precondition_failed/"


@db
@pytest.mark.parametrize(("method", "path"), [("delete", ""), ("post", "cancel/")])
def test_if_match_guards_deletions_and_actions(method: str, path: str, task: Task, owner: Actor) -> None:
    refusal = getattr(owner.by_key, method)(address(task) + path, headers={"If-Match": '"5"'})
    assert refusal.status_code == 412
    assert Task.objects.get(pk=task.pk).status == "pending"
    assert getattr(owner.by_key, method)(address(task) + path, headers={"If-Match": '"1"'}).status_code in (200, 204)


@db
def test_if_match_on_a_record_whose_changes_are_not_counted_is_refused(owner: Actor) -> None:
    from agents.models import AgentExecution

    path = f"/api/v1/agent-executions/{make(AgentExecution, owner.organization).pk}/"
    assert "ETag" not in owner.by_key.get(path).headers
    assert owner.by_key.patch(path, {"name": "New"}, headers={"If-Match": '"1"'}).status_code == 412


@db
def test_another_organizations_record_stays_unknown(task: Task, stranger: Actor) -> None:
    for tags in ('"1"', "*"):
        assert stranger.by_key.patch(address(task), {"name": "x"}, headers={"If-Match": tags}).status_code == 404


@really
def test_of_many_updates_at_once_one_wins() -> None:
    actor = make_actor(_organization(), Role.OWNER, "racer")
    task = make(Task, actor.organization)

    def update() -> int:
        client = ApiClient(key=actor.key.text)  # type: ignore[attr-defined]
        return client.patch(address(task), {"name": "New"}, headers={"If-Match": '"1"'}).status_code

    assert Counter(outcome.value for outcome in race(*[update] * 50)) == {200: 1, 412: 49}
    assert Task.objects.get(pk=task.pk).row_version == 2


def _organization() -> Organization:
    from tests.factories.core import OrganizationFactory

    return OrganizationFactory()


# --- Idempotency keys ------------------------------------------------------------------------------


def once(client: ApiClient, key: str, body: Any = BODY, path: str = TASKS) -> Any:
    return client.post(path, body, headers={"Idempotency-Key": key})


@db
def test_the_same_request_is_done_once_and_answered_again(owner: Actor) -> None:
    first, second = once(owner.by_key, '"abc-1"'), once(owner.by_key, "abc-1")
    assert first.status_code == second.status_code == 201
    assert first.content == second.content
    assert first.headers["Location"] == second.headers["Location"]
    assert second.headers["Idempotency-Replayed"] == "true"
    assert Task.objects.count() == 1


@db
def test_another_body_or_address_with_the_key_is_refused(owner: Actor, writes_nothing: Any) -> None:
    once(owner.by_key, "abc")
    with writes_nothing():
        for answer in (
            once(owner.by_key, "abc", BODY | {"name": "Else"}),
            once(owner.by_key, "abc", path="/api/v1/projects/"),
            once(owner.by_key, "abc", path=f"{TASKS}?fields=id"),
        ):
            assert answer.status_code == 422
            assert answer.json()["type"] == "/api/problems/idempotency_key_reused/"


@db
def test_a_large_body_is_taken_with_the_key_as_without(owner: Actor, settings: Any, writes_nothing: Any) -> None:
    large = BODY | {"description": "x" * 3_000_000}
    assert owner.by_key.post(TASKS, large).status_code == once(owner.by_key, "large", large).status_code == 201
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1_000_000
    with writes_nothing():
        for answer in (owner.by_key.post(TASKS, large), once(owner.by_key, "larger", large)):
            assert answer.status_code == 413
            assert answer.json()["detail"] == "This takes at most 1000000 bytes."


@db
def test_what_failed_may_be_tried_again_with_the_key(owner: Actor) -> None:
    assert once(owner.by_key, "abc", {"name": ""}).status_code == 400
    assert IdempotencyKey.objects.count() == 0
    assert once(owner.by_key, "abc").status_code == 201


@db
def test_a_key_is_its_principals_own(owner: Actor, teammate: Actor, stranger: Actor) -> None:
    for client in (owner.by_key, owner.client, teammate.by_key, stranger.by_key):
        assert once(client, "abc").status_code == 201
    assert Task.objects.count() == 4


@db
def test_arrays_and_actions_are_done_once(owner: Actor, task: Task) -> None:
    body = [{"agent_name": "a", "name": "b", "status": "completed"}] * 3
    for _ in range(2):
        answer = once(owner.by_key, "bulk", body, "/api/v1/agent-executions/")
        assert len(answer.json()) == 3
        assert once(owner.by_key, "cancel", {}, f"{address(task)}cancel/").status_code == 200
    assert once(owner.by_key, "cancel-again", {}, f"{address(task)}cancel/").status_code == 409


@db
@pytest.mark.parametrize("key", ["", " ", "a b", "ü", "x" * 256])
def test_a_key_that_is_none_is_refused(key: str, owner: Actor, writes_nothing: Any) -> None:
    owner.by_key.get(TASKS)  # notes the use of the API key
    with writes_nothing():
        answer = owner.by_key.post(TASKS, BODY, HTTP_IDEMPOTENCY_KEY=key)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "Idempotency-Key"


@db
def test_an_answer_with_a_secret_is_not_kept(owner: Actor, writes_nothing: Any) -> None:
    owner.by_key.get(TASKS)  # notes the use of the API key
    with writes_nothing():
        answer = once(owner.by_key, "abc", {"name": "CI", "scopes": ["core:read"]}, "/api/v1/api-keys/")
    assert answer.status_code == 400


@db
def test_after_a_day_a_key_is_free_again(owner: Actor) -> None:
    once(owner.by_key, "abc")
    run("UPDATE core_idempotencykey SET created_at = now() - interval '24 hours 1 second'")
    assert once(owner.by_key, "abc", BODY | {"name": "Else"}).status_code == 201
    run("UPDATE core_idempotencykey SET created_at = now() - interval '24 hours 1 second'")
    tasks.forget_idempotency_keys()
    assert not IdempotencyKey.objects.exists()


@db
def test_a_viewer_may_not_do_once_either(viewer: Actor) -> None:
    assert once(viewer.by_key, "abc").status_code == 403
    assert not IdempotencyKey.objects.exists()


@really
def test_many_requests_at_once_with_one_key_make_one_row() -> None:
    actor = make_actor(_organization(), Role.OWNER, "racer")

    def send() -> tuple[int, bytes]:
        answer = once(ApiClient(key=actor.key.text), "same")  # type: ignore[attr-defined]
        return answer.status_code, answer.content if answer.status_code == 201 else answer.headers["Retry-After"]

    answers = {outcome.value for outcome in race(*[send] * 200)}
    assert answers <= {(201, once(actor.by_key, "same").content), (409, "1")}
    assert Task.objects.count() == IdempotencyKey.objects.count() == 1


@really
def test_a_request_that_is_killed_leaves_nothing_and_the_next_is_done() -> None:
    actor = make_actor(_organization(), Role.OWNER, "racer")

    def die(execute: Any, sql: str, *rest: Any) -> Any:
        if "INSERT" in sql and "core_idempotencykey" in sql:
            with connection.cursor() as cursor:  # as if the machine went down between the write and the commit
                cursor.execute("SET LOCAL ROLE NONE; SELECT pg_terminate_backend(pg_backend_pid())")
        return execute(sql, *rest)

    with connection.execute_wrapper(die):
        assert once(actor.by_key, "abc").status_code == 503
    connection.close()
    assert (Task.objects.count(), IdempotencyKey.objects.count()) == (0, 0)
    assert once(actor.by_key, "abc").status_code == 201
    assert Task.objects.count() == 1


@db
@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ("status = 404", "core_idempotencykey_success"),
        ("key = ''", "core_idempotencykey_key"),
        ("key = 'a b'", "core_idempotencykey_key"),
        ("principal = (SELECT principal FROM core_idempotencykey WHERE key = 'other')", "core_idempotencykey_unique"),
    ],
)
def test_the_database_keeps_the_rules_of_keys(change: str, rule: str, owner: Actor) -> None:
    make(IdempotencyKey, owner.organization, key="other")
    make(IdempotencyKey, owner.organization, key="mine")
    more = ", key = 'other'" if "principal" in change else ""
    assert refused(f"UPDATE core_idempotencykey SET {change}{more} WHERE key = 'mine'") == rule


@db
def test_the_keys_in_use_are_seen_by_admins(owner: Actor) -> None:
    once(owner.by_key, "abc")
    [row] = owner.by_key.get("/api/v1/idempotency-keys/").json()["results"]
    assert (row["key"], row["status"], row["principal"]) == ("abc", 201, str(owner.key.pk))
    assert APIKey.objects.filter(pk=row["principal"]).exists()
    assert owner.by_key.get(f"/api/v1/idempotency-keys/?key={uuid4()}").json()["results"] == []
