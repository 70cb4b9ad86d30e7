"""`loaddata` of records that the database refuses."""

import json
import sys
from pathlib import Path

import pytest

import manage
from agents.models import Squad
from core.models import Organization

pytestmark = pytest.mark.django_db


def test_what_the_database_refuses_is_told_without_a_traceback_and_nothing_is_loaded(
    organization: Organization, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        {"model": "agents.squad", "pk": f"01a20000-0000-7000-8000-00000000000{n}", "fields": {"name": name}}
        for n, name in enumerate(("Night shift", ""))
    ]
    for row in rows:
        row["fields"]["organization"] = str(organization.pk)
    file = tmp_path / "squads.json"
    file.write_text(json.dumps(rows))
    monkeypatch.setattr("django.core.management.base.connections.close_all", lambda: None)  # the test goes on
    monkeypatch.setattr(sys, "argv", ["manage.py", "loaddata", str(file)])
    with pytest.raises(SystemExit) as end:
        manage.main()
    told = str(end.value)
    assert f"Could not load agents.Squad(pk={rows[1]['pk']})" in told
    assert told.endswith(
        'violates check constraint "agents_squad_name_given"\n“name” can\'t be empty.\nNothing was loaded.'
    )
    assert not Squad.objects.exists()
