"""The project's settings for workers that tests start: they know the tests' own tasks too."""

from config.settings import *  # noqa: F403

PROCRASTINATE_IMPORT_PATHS = ["tests.core.jobs.tasks"]
