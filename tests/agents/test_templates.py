"""Templates: their endpoint, rendering, and the rules that the database keeps."""

import hashlib
import io
import zipfile
from functools import partial
from typing import Any

import pytest

from agents.models import Template
from agents.services import templates
from core.models import AuditEvent, Organization
from tests.factories.agents import TemplateFactory
from tests.kit.cast import Actor
from tests.kit.client import ApiClient
from tests.kit.races import errors, race
from tests.kit.sql import refused

pytestmark = pytest.mark.django_db

ADDRESS = "/api/v1/templates/"
VARIABLES = {"project_name": "My shop"}
FILES = {"README.md": "# My Shop\n", "my_shop/settings.toml": 'license = "MIT"\n'}


@pytest.fixture
def template(organization: Organization) -> Template:
    """A template of ours."""
    return TemplateFactory(organization=organization, name="Service", version="1.2.0")


@pytest.fixture
def shared(db: None) -> Template:
    """A template that is shared with all."""
    return TemplateFactory(organization=None, name="Starter")


def render(client: ApiClient, template: Template, variables: Any = VARIABLES, **extra: Any) -> Any:
    return client.post(f"{ADDRESS}{template.pk}/render/", {"variables": variables}, **extra)


# --- Rendering -------------------------------------------------------------------------------------


def test_rendering_fills_paths_and_contents(owner: Actor, template: Template) -> None:
    answer = render(owner.by_key, template)
    assert (answer.status_code, answer.json()) == (200, {"files": FILES})


def test_a_default_gives_way(owner: Actor, template: Template) -> None:
    answer = render(owner.by_key, template, VARIABLES | {"license": "BSD"})
    assert answer.json()["files"]["my_shop/settings.toml"] == 'license = "BSD"\n'


def test_every_missing_and_unknown_variable_is_named_at_once(owner: Actor, writes_nothing: Any) -> None:
    files = {"a": "{{ one }}{{ two }}{{ three }}"}
    template = TemplateFactory(organization=owner.organization, files=files, required_variables=["one", "two", "three"])
    owner.by_key.get(ADDRESS)
    with writes_nothing():
        answer = render(owner.by_key, template, {"two": 2, "four": 4})
    assert answer.status_code == 400
    assert [(error["field"], error["code"]) for error in answer.json()["errors"]] == [
        ("variables.one", "required"),
        ("variables.three", "required"),
        ("variables.four", "unknown"),
    ]
    assert "“one”" in answer.json()["errors"][0]["detail"]


@pytest.mark.parametrize("body", [{"variables": []}, {"variables": "x"}, []])
def test_variables_are_an_object(owner: Actor, template: Template, body: Any) -> None:
    assert owner.by_key.post(f"{ADDRESS}{template.pk}/render/", body).status_code == 400


def test_values_are_not_templates_themselves(owner: Actor, template: Template) -> None:
    hostile = "{{ license }}{% for a in b %}"
    answer = render(owner.by_key, template, {"project_name": "x", "license": hostile})
    assert answer.json()["files"]["x/settings.toml"] == f'license = "{hostile}"\n'


def test_a_zip_on_request(owner: Actor, template: Template) -> None:
    answer = render(owner.by_key, template, headers={"Accept": "application/zip"})
    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/zip"
    assert answer["Content-Disposition"] == 'attachment; filename="service-1-2-0.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name).decode() for name in archive.namelist()} == FILES


def test_a_zip_is_the_same_each_time(owner: Actor, template: Template) -> None:
    backwards = dict(reversed(template.files.items()))
    other = TemplateFactory(organization=owner.organization, files=backwards)
    digests = {
        hashlib.sha256(render(owner.by_key, each, headers={"Accept": "application/zip"}).content).hexdigest()
        for each in (template, template, other)
    }
    assert len(digests) == 1


def test_a_refusal_is_a_problem_even_where_a_zip_was_asked_for(owner: Actor, template: Template) -> None:
    answer = render(owner.by_key, template, {}, headers={"Accept": "application/zip"})
    assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json")
    assert answer.json()["errors"][0]["field"] == "variables.project_name"


def test_an_unknown_content_type_is_not_acceptable(owner: Actor, template: Template) -> None:
    assert render(owner.by_key, template, headers={"Accept": "text/csv"}).status_code == 406


def test_uses_are_counted_and_failures_are_not(owner: Actor, template: Template) -> None:
    for variables in (VARIABLES, {}, VARIABLES, {"project_name": ""}):
        render(owner.by_key, template, variables)
    template.refresh_from_db()
    assert template.usage_count == 2
    assert AuditEvent.objects.about(template).count() == 1


@pytest.mark.django_db(transaction=True)
def test_uses_at_once_are_all_counted(organization: Organization) -> None:
    template = TemplateFactory(organization=organization)
    outcomes = race(*[partial(templates.render, template=template, variables=VARIABLES)] * 8)
    assert errors(outcomes) == []
    template.refresh_from_db()
    assert template.usage_count == 8


@pytest.mark.parametrize(
    "name", ["../evil", "..", "/etc", "a\\..\\b", "C:evil", "a\u0000b", ".. /x", "con", "a/./b", ""]
)
def test_a_rendered_path_stays_below_the_root(owner: Actor, name: str, writes_nothing: Any) -> None:
    template = TemplateFactory(
        organization=owner.organization, files={"{{ name }}/x": "x"}, required_variables=["name"]
    )
    owner.by_key.get(ADDRESS)
    for accept in ("application/json", "application/zip"):
        with writes_nothing():
            answer = render(owner.by_key, template, {"name": name}, headers={"Accept": accept})
        assert answer.status_code == 400
        assert [error["field"] for error in answer.json()["errors"]] == ["files"]


@pytest.mark.parametrize(
    ("one", "two"), [("x", "x"), ("X", "x"), ("x", "x/y"), ("x/y", "x"), ("caf\u00e9", "cafe\u0301")]
)
def test_two_files_never_stand_in_one_place(owner: Actor, one: str, two: str) -> None:
    template = TemplateFactory(
        organization=owner.organization, files={"{{ one }}": "1", "{{ two }}": "2"}, required_variables=["one", "two"]
    )
    answer = render(owner.by_key, template, {"one": one, "two": two})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "unrenderable")


def test_variables_that_take_too_much_are_refused(owner: Actor, template: Template) -> None:
    answer = render(owner.by_key, template, {"project_name": "x" * 300_000})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "variables")
    nested: Any = 1
    for _ in range(300):
        nested = [nested]
    assert render(owner.by_key, template, {"project_name": nested}).status_code == 400


# --- Saving ----------------------------------------------------------------------------------------


def test_a_template_is_made_and_changed(teammate: Actor) -> None:
    body = {
        "name": "Service",
        "description": "A web service.",
        "version": "2.0.0",
        "files": {"{{ slug }}.py": "print({{ words|tojson }})\n"},
        "required_variables": ["slug"],
        "optional_variables": {"words": ["hello"]},
        "tech_stack": ["django"],
        "tags": ["web"],
        "complexity": "moderate",
        "setup_minutes": 15,
    }
    made = teammate.by_key.post(ADDRESS, body).json()
    assert {name: made[name] for name in body} == body
    assert (made["organization"], made["usage_count"]) == (str(teammate.organization.pk), 0)
    answer = teammate.by_key.patch(f"{ADDRESS}{made['id']}/", {"optional_variables": {}})
    assert (answer.status_code, "“words”" in answer.json()["detail"]) == (400, True)
    assert teammate.by_key.patch(f"{ADDRESS}{made['id']}/", {"name": "Web service"}).status_code == 200


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"files": {}}, "files"),
        ({"files": []}, "files"),
        ({"files": {"a": 1}}, "files"),
        ({"files": {"a": "{{ name"}}, "files"),
        ({"files": {"a": "{{ unheard_of }}"}}, "files"),
        ({"files": {"{{ unheard_of }}": "a"}}, "files"),
        ({"files": {"../a": "a"}}, "files"),
        ({"files": {"/etc/passwd": "a"}}, "files"),
        ({"files": {"a": "{% include 'b' %}"}}, "files"),
        ({"required_variables": ["two words"]}, "required_variables"),
        ({"required_variables": ["loop"]}, "required_variables"),
        ({"required_variables": ["name", "name"]}, "required_variables"),
        ({"required_variables": ["name"], "optional_variables": {"name": 1}}, "required_variables"),
        ({"optional_variables": {"1x": 1}}, "optional_variables"),
        ({"optional_variables": []}, "optional_variables"),
        ({"complexity": "insane"}, "complexity"),
    ],
)
def test_a_bad_template_is_not_saved(owner: Actor, change: Any, field: str, writes_nothing: Any) -> None:
    owner.by_key.get(ADDRESS)
    body = {"name": "T", "files": {"a": "b"}, "required_variables": ["name"]} | change
    with writes_nothing():
        answer = owner.by_key.post(ADDRESS, body)
    assert answer.status_code == 400
    assert {error["field"] for error in answer.json()["errors"]} == {field}


def test_the_problems_of_all_files_are_told_at_once(owner: Actor) -> None:
    files = {"good": "x", "bad": "{{ }}", "worse": "{{ a }}\n{% endif %}", "../worst": ""}
    answer = owner.by_key.post(ADDRESS, {"name": "T", "files": files})
    details = [error["detail"] for error in answer.json()["errors"]]
    assert [detail.partition(":")[0] for detail in details] == ["bad", "worse", "../worst"]
    assert "line 2" in details[1]


# --- Shared templates ------------------------------------------------------------------------------


def test_all_read_and_render_what_is_shared(owner: Actor, stranger: Actor, shared: Template) -> None:
    for actor in (owner, stranger):
        [row] = actor.by_key.get(ADDRESS, {"shared": "true"}).json()["results"]
        assert (row["name"], row["organization"]) == ("Starter", None)
        assert render(actor.by_key, shared).status_code == 200


def test_nobody_writes_what_is_shared(owner: Actor, shared: Template, writes_nothing: Any) -> None:
    owner.by_key.get(ADDRESS)
    with writes_nothing():
        answers = [
            owner.by_key.patch(f"{ADDRESS}{shared.pk}/", {"name": "Mine"}),
            owner.by_key.delete(f"{ADDRESS}{shared.pk}/"),
        ]
    assert [answer.status_code for answer in answers] == [403, 403]
    assert answers[0].json()["detail"] == "This template is shared with all; only staff change it."


def test_nobody_shares_a_template_through_the_api(owner: Actor) -> None:
    answer = owner.by_key.post(ADDRESS, {"name": "T", "files": {"a": "b"}, "organization": None})
    assert answer.json()["organization"] == str(owner.organization.pk)


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("shared=false", {"Service"}),
        ("tags=python", {"Service", "Starter"}),
        ("tech_stack=django", set()),
        ("search=start", {"Starter"}),
        ("complexity=complex", set()),
        ("version=1.2.0", {"Service"}),
    ],
)
def test_templates_can_be_filtered(
    owner: Actor, stranger: Actor, template: Template, shared: Template, query: str, names: set[str]
) -> None:
    TemplateFactory(organization=stranger.organization, name="Service start", version="1.2.0")
    assert {row["name"] for row in owner.by_key.get(f"{ADDRESS}?{query}").json()["results"]} == names


# --- The rules -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ("name = ''", "agents_template_name_given"),
        ("version = ''", "agents_template_version_given"),
        ("name = 'Taken'", "agents_template_version_unique"),
        ("complexity = 'insane'", "agents_template_complexity"),
        ("files = '{}'", "agents_template_files_given"),
        ("files = '[]'", "agents_template_files_object"),
        ("""files = '{"a": 1}'""", "agents_template_files_texts"),
        ("optional_variables = '[]'", "agents_template_optional_object"),
        ("""optional_variables = '{"project_name": 1}'""", "agents_template_variables_apart"),
        ("organization_id = NULL", "agents_template_organization_id_immutable"),
        ("usage_count = -1", "agents_template_usage_count_check"),
        ("setup_minutes = -1", "agents_template_setup_minutes_check"),
    ],
)
def test_rules_of_a_template(organization: Organization, change: str, rule: str) -> None:
    TemplateFactory(organization=organization, name="Taken")
    template = TemplateFactory(organization=organization)
    assert refused(f"UPDATE agents_template SET {change} WHERE id = %s", template.pk) == rule


def test_a_shared_version_stands_once(shared: Template) -> None:
    other = TemplateFactory(organization=None)
    rule = refused("UPDATE agents_template SET name = 'Starter' WHERE id = %s", other.pk)
    assert rule == "agents_template_version_unique"
