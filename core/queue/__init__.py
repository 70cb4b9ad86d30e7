"""The Django app of the queue (Procrastinate): its name for staff, and its migrations. Tasks: see core.jobs."""
