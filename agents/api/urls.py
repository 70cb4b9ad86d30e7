"""Addresses of agents' records under ``/api/v1/``."""

from core.api.routers import RecordRouter

router = RecordRouter()
