"""Projects and their contexts: endpoints, versions under concurrency, comparison, and the rules of the database."""

from functools import partial
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.db.models import Max

from agents.models import Project, ProjectContext
from agents.services.comparison import MAX_VALUES, differences
from agents.services.projects import append_context
from core.errors import ConflictError
from core.models import AuditEvent, Organization
from tests.factories.agents import ModificationFactory, ProjectContextFactory, ProjectFactory, SquadFactory
from tests.kit.cast import Actor
from tests.kit.database import triggers_off
from tests.kit.races import Meeting, errors, race, values
from tests.kit.sql import refused, run

pytestmark = pytest.mark.django_db

PROJECTS, CONTEXTS = "/api/v1/projects/", "/api/v1/project-contexts/"
NEW_CONTEXT = (
    "INSERT INTO agents_projectcontext (organization_id, project_id, {columns} codebase, configuration, dependencies)"
    " VALUES (%s, %s, {values} '{{}}', '{{}}', '{{}}') RETURNING version"
)


def add_raw(project: Project, version: int | None = None) -> str:
    """Return the statement that inserts a context, with its version if given."""
    columns, given = ("", "") if version is None else ("version,", f"{version},")
    return NEW_CONTEXT.format(columns=columns, values=given)


# --- Projects --------------------------------------------------------------------------------------


def test_a_project_is_made_by_who_asked(teammate: Actor) -> None:
    squad = SquadFactory(organization=teammate.organization)
    body = {
        "squad": str(squad.pk),
        "name": "Shop",
        "description": "Sells things.",
        "external_workspace_id": "ws-1",
        "repository_url": "https://git.example.com/shop",
        "metadata": {"tier": 1},
    }
    made = teammate.by_key.post(PROJECTS, body).json()
    assert {name: made[name] for name in body} == body
    assert (made["status"], made["created_by"]) == ("planning", str(teammate.user.pk))


def test_a_project_moves_along_its_life(owner: Actor) -> None:
    project = ProjectFactory(organization=owner.organization)
    moves = [("begin", "active"), ("hold", "on_hold"), ("resume", "active"), ("complete", "completed")]
    for action, status in [*moves, ("resume", "active"), ("archive", "archived")]:
        assert owner.by_key.post(f"{PROJECTS}{project.pk}/{action}/").json()["status"] == status
    assert owner.by_key.post(f"{PROJECTS}{project.pk}/resume/").status_code == 409
    verbs = AuditEvent.objects.about(project).order_by("timestamp").values_list("event_type", flat=True)
    assert list(verbs)[1:] == [
        f"project.{verb}" for verb in ("begin", "hold", "resume", "complete", "resume", "archive")
    ]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("status=planning", {"Shop"}),
        ("search=sell", {"Shop"}),
        ("search=shop sells", {"Shop"}),
        ("search=shop blog", set()),
        ("search=bl", {"Blog"}),
        ("search=og", set()),
        ("search=100%", {"Blog"}),
        ("search=1_0", set()),
        ("search=", {"Shop", "Blog"}),
        ("external_workspace_id=ws-1", {"Blog"}),
        ("ordering=name&limit=1", {"Blog"}),
    ],
)
def test_projects_can_be_found(owner: Actor, query: str, names: set[str]) -> None:
    make = partial(ProjectFactory, organization=owner.organization)
    make(name="Shop", description="Sells things.")
    make(name="Blog", description="Is 100% words.", status="active", external_workspace_id="ws-1")
    results = owner.by_key.get(f"{PROJECTS}?{query}").json()["results"]
    assert {row["name"] for row in results} == names


# --- Contexts --------------------------------------------------------------------------------------


def test_contexts_count_from_1_in_each_project(owner: Actor) -> None:
    shop, blog = ProjectFactory.create_batch(2, organization=owner.organization)
    versions = [
        owner.by_key.post(CONTEXTS, {"project": str(project.pk), "test_coverage": "80.5"}).json()["version"]
        for project in (shop, blog, shop)
    ]
    assert versions == [1, 1, 2]
    [newest, oldest] = owner.by_key.get(CONTEXTS, {"project": str(shop.pk)}).json()["results"]
    assert (newest["version"], oldest["version"]) == (2, 1)
    assert (newest["test_coverage"], newest["created_by"]) == ("80.50", str(owner.user.pk))


def test_a_context_of_a_version_that_is_taken_is_a_conflict(owner: Actor, writes_nothing: Any) -> None:
    context = ProjectContextFactory(organization=owner.organization)
    body = {"project": str(context.project_id)}
    owner.by_key.get(CONTEXTS)
    for version in (1, 3):
        with writes_nothing():
            answer = owner.by_key.post(CONTEXTS, body | {"version": version})
        assert answer.status_code == 409
        assert answer.json()["detail"] == f"The next version of this project's context is 2, not {version}."
    assert owner.by_key.post(CONTEXTS, body | {"version": 2}).status_code == 201


@pytest.mark.parametrize(("field", "value"), [("version", 0), ("test_coverage", "100.01"), ("security_score", "-1")])
def test_a_bad_context_is_refused(owner: Actor, field: str, value: Any) -> None:
    project = ProjectFactory(organization=owner.organization)
    answer = owner.by_key.post(CONTEXTS, {"project": str(project.pk), field: value})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, field)


def test_a_context_is_neither_changed_nor_deleted(owner: Actor) -> None:
    context = ProjectContextFactory(organization=owner.organization)
    for method in ("patch", "delete"):
        assert getattr(owner.by_key, method)(f"{CONTEXTS}{context.pk}/").status_code == 405


@pytest.mark.django_db(transaction=True)
def test_of_those_who_append_the_same_version_one_wins(organization: Organization) -> None:
    project = ProjectContextFactory(organization=organization).project
    outcomes = race(*[partial(append_context, project=project, created_by=None, version=2)] * 8)
    assert [context.version for context in values(outcomes)] == [2]
    assert [type(error) for error in errors(outcomes)] == [ConflictError] * 7
    assert list(project.contexts.values_list("version", flat=True)) == [2, 1]


@pytest.mark.django_db(transaction=True)
def test_contexts_appended_at_once_each_get_a_version(organization: Organization) -> None:
    project = ProjectFactory(organization=organization)
    outcomes = race(*[partial(append_context, project=project, created_by=None)] * 8)
    assert errors(outcomes) == []
    assert sorted(context.version for context in values(outcomes)) == list(range(1, 9))


@pytest.mark.django_db(transaction=True)
def test_contexts_inserted_by_raw_sql_at_once_each_get_a_version(organization: Organization) -> None:
    project = ProjectFactory(organization=organization)
    outcomes = race(*[partial(run, add_raw(project), organization.pk, project.pk)] * 8)
    assert errors(outcomes) == []
    assert sorted(row[0][0] for row in values(outcomes)) == list(range(1, 9))


@pytest.mark.django_db(transaction=True)
def test_control_without_the_lock_versions_clash(organization: Organization) -> None:
    project = ProjectFactory(organization=organization)
    meeting = Meeting(4)

    def append_unguarded() -> int:
        with triggers_off(), transaction.atomic():
            meeting.announce()
            last = ProjectContext.objects.filter(project=project).aggregate(last=Max("version"))["last"] or 0
            meeting.attend()
            return ProjectContext.objects.create(organization=organization, project=project, version=last + 1).version

    outcomes = race(*[append_unguarded] * 4)
    assert values(outcomes) == [1]
    assert [type(error) for error in errors(outcomes)] == [IntegrityError] * 3


# --- Comparison ------------------------------------------------------------------------------------


@pytest.fixture
def compared(owner: Actor) -> Project:
    """A project with two contexts."""
    project = ProjectFactory(organization=owner.organization)
    make = partial(ProjectContextFactory, organization=owner.organization, project=project)
    make(
        codebase={"files": 12, "modules": ["core", "catalog"], "a/b": {"c~d": 1}},
        configuration={"debug": True, "__internal": 1},
        dependencies={"django": "5.2.7", "celery": "5.5"},
        test_coverage="80",
        security_score="70.5",
    )
    make(
        codebase={"files": 14, "modules": ["core", "agents", "catalog"], "a/b": {"c~d": 2}},
        configuration={"debug": 1, "__internal": 2},
        dependencies={"django": "5.2.8", "procrastinate": {"version": "3.5"}},
        test_coverage="85.5",
        performance_score="99",
    )
    return project


def test_compare_tells_what_changed_by_path(viewer: Actor, compared: Project) -> None:
    answer = viewer.by_key.get(f"{PROJECTS}{compared.pk}/compare/?from=1&to=2")
    assert answer.status_code == 200
    assert answer.json() == {
        "project": str(compared.pk),
        "from": 1,
        "to": 2,
        "codebase": {
            "added": [{"path": "/modules/1", "value": "agents"}],
            "removed": [],
            "changed": [
                {"path": "/a~1b/c~0d", "old": 1, "new": 2},
                {"path": "/files", "old": 12, "new": 14},
            ],
        },
        "configuration": {
            "added": [],
            "removed": [],
            "changed": [
                {"path": "/__internal", "old": 1, "new": 2},
                {"path": "/debug", "old": True, "new": 1},
            ],
        },
        "dependencies": {
            "added": [{"path": "/procrastinate", "value": {"version": "3.5"}}],
            "removed": [{"path": "/celery", "value": "5.5"}],
            "changed": [{"path": "/django", "old": "5.2.7", "new": "5.2.8"}],
        },
        "scores": {
            "test_coverage": {"old": "80.00", "new": "85.50", "difference": "5.50"},
            "security_score": {"old": "70.50", "new": None, "difference": None},
            "performance_score": {"old": None, "new": "99.00", "difference": None},
        },
    }


def test_compare_backwards_and_with_itself(owner: Actor, compared: Project) -> None:
    back = owner.by_key.get(f"{PROJECTS}{compared.pk}/compare/?from=2&to=1").json()
    assert back["dependencies"]["added"] == [{"path": "/celery", "value": "5.5"}]
    assert back["scores"]["test_coverage"]["difference"] == "-5.50"
    same = owner.by_key.get(f"{PROJECTS}{compared.pk}/compare/?from=2&to=2").json()
    assert same["codebase"] == {"added": [], "removed": [], "changed": []}


def test_an_unknown_version_is_named(owner: Actor, compared: Project) -> None:
    answer = owner.by_key.get(f"{PROJECTS}{compared.pk}/compare/?from=1&to=3")
    assert answer.status_code == 404
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["detail"] == "This project has no context of version 3."


@pytest.mark.parametrize(
    "query", ["", "from=1", "from=1&to=x", "from=0&to=1", "from=1&to=2&deep=1", "from=1&to=9999999999"]
)
def test_a_bad_question_is_refused(owner: Actor, compared: Project, query: str) -> None:
    assert owner.by_key.get(f"{PROJECTS}{compared.pk}/compare/?{query}").status_code == 400


def test_another_organization_s_versions_are_not_told(stranger: Actor, compared: Project) -> None:
    answer = stranger.by_key.get(f"{PROJECTS}{compared.pk}/compare/?from=1&to=2")
    assert (answer.status_code, answer.json()["detail"]) == (404, "Not found.")


def test_a_small_change_in_a_large_document_is_found() -> None:
    old = {"files": {f"file{n}": {"size": n, "lines": [1, 2, 3]} for n in range(20_000)}}
    new = {"files": old["files"] | {"file7": {"size": 8, "lines": [1, 2, 3]}}}
    assert differences(old, new)["changed"] == [{"path": "/files/file7/size", "old": 7, "new": 8}]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({str(n): n for n in range(MAX_VALUES + 1)}, {str(n): -n for n in range(MAX_VALUES + 1)}),
        ([[n % 2] for n in range(MAX_VALUES)], [[n % 3] for n in range(MAX_VALUES)]),
    ],
    ids=["wide object", "long list"],
)
def test_documents_that_differ_too_widely_are_refused(old: Any, new: Any) -> None:
    with pytest.raises(ConflictError, match="too widely"):
        differences(old, new)


def test_documents_that_are_nested_too_deeply_are_refused() -> None:
    old, new = 1, 2
    for _ in range(5000):
        old, new = [old], [new]  # type: ignore[assignment]
    with pytest.raises(ConflictError):
        differences(old, new)


def test_long_texts_are_compared_as_wholes() -> None:
    old, new = ("\n".join(str(n % k) for n in range(50_000)) for k in (2, 3))
    assert differences([old], [new])["changed"] == [{"path": "/0", "old": old, "new": new}]


def test_a_document_of_another_kind_is_changed_as_a_whole() -> None:
    assert differences({"a": 1}, [1])["changed"] == [{"path": "", "old": {"a": 1}, "new": [1]}]


# --- The rules -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ("name = ''", "agents_project_name_given"),
        ("name = 'Taken'", "agents_project_name_unique"),
        ("status = 'completed'", "agents_project_status_transitions"),
        ("metadata = '[]'", "agents_project_metadata_object"),
        ("organization_id = gen_random_uuid()", "agents_project_organization_id_immutable"),
    ],
)
def test_rules_of_a_project(organization: Organization, change: str, rule: str) -> None:
    ProjectFactory(organization=organization, name="Taken")
    project = ProjectFactory(organization=organization)
    assert refused(f"UPDATE agents_project SET {change} WHERE id = %s", project.pk) == rule


def test_a_project_s_squad_is_of_its_organization(organization: Organization, other_organization: Organization) -> None:
    project, squad = ProjectFactory(organization=organization), SquadFactory(organization=other_organization)
    rule = refused("UPDATE agents_project SET squad_id = %s WHERE id = %s", squad.pk, project.pk)
    assert rule == "agents_project_squad"


@pytest.mark.parametrize("version", [1, 3, -1])
def test_versions_neither_repeat_nor_leave_gaps(organization: Organization, version: int) -> None:
    project = ProjectContextFactory(organization=organization).project
    rule = refused(add_raw(project, version), organization.pk, project.pk)
    assert rule == "agents_projectcontext_version_next"
    assert run(add_raw(project, 2), organization.pk, project.pk) == [(2,)]


def test_a_version_stands_once_even_without_the_trigger(organization: Organization) -> None:
    project = ProjectContextFactory(organization=organization).project
    with triggers_off():
        assert refused(add_raw(project, 1), organization.pk, project.pk) == "agents_projectcontext_version"
        assert refused(add_raw(project, 0), organization.pk, project.pk) == "agents_projectcontext_version_from_1"


@pytest.mark.parametrize(
    "change", ["version = 7", "codebase = '{\"other\": 1}'", "test_coverage = 1.5", "project_id = gen_random_uuid()"]
)
def test_a_context_never_changes(organization: Organization, change: str) -> None:
    context = ProjectContextFactory(organization=organization)
    rule = refused(f"UPDATE agents_projectcontext SET {change} WHERE id = %s", context.pk)
    assert rule == "agents_projectcontext_append_only"


@pytest.mark.parametrize("column", ["test_coverage", "security_score", "performance_score"])
@pytest.mark.parametrize("value", ["-0.01", "100.01"])
def test_scores_lie_between_0_and_100(organization: Organization, column: str, value: str) -> None:
    project = ProjectFactory(organization=organization)
    statement = NEW_CONTEXT.format(columns=f"{column},", values=f"{value},")
    assert refused(statement, organization.pk, project.pk) == f"agents_projectcontext_{column}"


def test_a_context_s_project_is_of_its_organization(
    organization: Organization, other_organization: Organization
) -> None:
    project = ProjectFactory(organization=other_organization)
    assert refused(add_raw(project), organization.pk, project.pk) == "agents_projectcontext_project"


def test_a_context_takes_its_modifications_along(organization: Organization) -> None:
    modification = ModificationFactory(organization=organization)
    rule = refused("DELETE FROM agents_projectcontext WHERE id = %s", modification.context_id)
    assert rule == "agents_modification_context"
    modification.context.delete()
    assert not type(modification).objects.exists()
