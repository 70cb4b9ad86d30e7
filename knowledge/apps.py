"""The knowledge app."""

from django.apps import AppConfig

PROBLEMS = {
    "content_stored": "Another document of the collection has this content; the detail names it.",
    "embedder_unavailable": "The question can't be embedded: a collection's embedder is away, or isn't set up here."
    " A search with the mode “text” needs none.",
}


class KnowledgeConfig(AppConfig):
    """Documents, split and indexed for retrieval, and the search over them."""

    name = "knowledge"
    verbose_name = "Knowledge"

    def ready(self) -> None:
        """Describe knowledge's own kinds of problem where their addresses lead."""
        from core.api import problems

        problems.KINDS.update(PROBLEMS)
