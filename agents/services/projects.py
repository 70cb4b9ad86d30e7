"""Projects: the contexts that tell how one stood, version after version."""

from typing import Any

from django.db import transaction
from django.db.models import Max

from agents.models import Project, ProjectContext
from core.errors import ConflictError
from core.models import User


@transaction.atomic
def append_context(
    *, project: Project, created_by: User | None, version: int | None = None, **fields: Any
) -> ProjectContext:
    """Append a context to the project, and return it with its version.

    ``version`` is the one that the caller expects it to become; of several who append the same, one wins. Raises
    ConflictError when it isn't the next one. Without it, each becomes the next in turn.
    """
    # The database numbers under the same lock. It is taken first, so that the answer to a wrong version is kind.
    Project.objects.select_for_update(no_key=True).get(pk=project.pk)
    contexts = ProjectContext.objects.filter(project=project)
    if version is not None:
        following = (contexts.aggregate(last=Max("version"))["last"] or 0) + 1
        if version != following:
            raise ConflictError(
                f"The next version of this project's context is {following}, not {version}.", field="version"
            )
    return ProjectContext.objects.create(
        organization_id=project.organization_id, project=project, created_by=created_by, **fields
    )
