"""The knowledge app."""

from django.apps import AppConfig


class KnowledgeConfig(AppConfig):
    """Documents, split and indexed for retrieval, and the search over them."""

    name = "knowledge"
    verbose_name = "Knowledge"
