"""Addresses of health, under both of their roots."""

from django.urls import path

from core import health

health_urls = [
    path("health", health.live),
    path("health/", health.live, name="health"),
    path("health/live", health.live, name="health-live"),
    path("health/ready", health.ready, name="health-ready"),
    path("health/db", health.database, name="health-db"),
]
