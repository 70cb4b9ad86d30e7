"""Procrastinate's tables and functions, by the library's own statements, in a migration that reverses.

The library brings a file of SQL for each change of its schema, and never changes one. A newer library that brings more
of them gets a migration here that applies those; a test compares the two lists.
"""

import procrastinate.contrib.django.models
from django.db import migrations, models
from procrastinate.contrib.django.migrations_utils import RunProcrastinateSQL

STATEMENTS = [
    "00.00.00_01_initial.sql",
    "00.05.00_02_drop_started_at_column.sql",
    "00.05.00_01_drop_started_at_column.sql",
    "00.05.00_03_drop_procrastinate_version_table.sql",
    "00.06.00_01_fix_procrastinate_fetch_job.sql",
    "00.07.01_01_fix_trigger_status_events_insert.sql",
    "00.08.01_01_add_queueing_lock_column.sql",
    "00.10.00_01_close_fetch_job_race_condition.sql",
    "00.10.00_02_add_defer_job_function.sql",
    "00.11.00_03_add_procrastinate_periodic_defers.sql",
    "00.12.00_01_add_foreign_key_index.sql",
    "00.14.00_01_add_locks_to_periodic_defer.sql",
    "00.15.02_01_fix_procrastinate_defer_periodic_job.sql",
    "00.16.00_01_add_finish_job_and_retry_job_functions.sql",
    "00.17.00_01_add_trigger_on_job_deletion.sql",
    "00.17.00_02_delete_finished_jobs.sql",
    "00.17.00_03_add_checks_to_finish_job.sql",
    "00.17.00_04_add_checks_to_retry_job.sql",
    "00.18.01_01_fix_finish_job_compat_issue.sql",
    "00.19.00_01_add_index_on_procrastinate_jobs.sql",
    "00.22.00_01_add_kwargs_to_defer_periodic_job.sql",
    "00.23.00_01_null_locks_excluded.sql",
    "01.00.00_01_remove_old_finish_job_function.sql",
    "01.01.01_01_job_id_bigint.sql",
    "02.00.03_01_add_job_priority.sql",
    "02.05.00_01_add_periodic_job_priority.sql",
    "02.06.00_01_add_cancel_states.sql",
    "02.08.00_01_add_additional_params_to_retry_job.sql",
    "02.14.01_01_add_indexes_for_fetch_job.sql",
    "03.00.00_01_pre_cancel_notification.sql",
    "03.00.00_50_post_cancel_notification.sql",
    "03.01.00_01_pre_add_heartbeat.sql",
    "03.01.00_50_post_add_heartbeat.sql",
    "03.02.00_01_pre_batch_defer_jobs.sql",
    "03.02.00_50_post_batch_defer_jobs.sql",
    "03.03.00_01_pre_priority_lock_fetch_job.sql",
    "03.04.00_01_pre_add_retry_failed_job_procedure.sql",
    "03.04.00_50_post_add_retry_failed_job_procedure.sql",
]

# No statement of the library takes its schema back.
REMOVE = r"""
DROP TABLE procrastinate_events, procrastinate_periodic_defers, procrastinate_jobs, procrastinate_workers CASCADE;
DO $$
DECLARE
    name text;
BEGIN
    FOR name IN SELECT oid::regprocedure FROM pg_proc
                 WHERE proname LIKE 'procrastinate\_%' AND pronamespace = current_schema()::regnamespace LOOP
        EXECUTE 'DROP FUNCTION ' || name;
    END LOOP;
    FOR name IN SELECT oid::regtype FROM pg_type
                 WHERE typname LIKE 'procrastinate\_%' AND typtype IN ('c', 'e') AND typarray <> 0
                   AND typnamespace = current_schema()::regnamespace
                 ORDER BY typtype LOOP  -- composites before the enumerations that they hold
        EXECUTE 'DROP TYPE ' || name;
    END LOOP;
END
$$;
"""


class ReversibleSQL(RunProcrastinateSQL):
    """A file of the library's, of which nothing is left once all is removed."""

    def __init__(self, name):
        super().__init__(name)
        self.reverse_sql = migrations.RunSQL.noop


class Migration(migrations.Migration):
    """The queue: jobs, their events, the schedule's memory, the workers' heartbeats."""

    initial = True
    dependencies = []
    operations = [
        migrations.RunSQL(migrations.RunSQL.noop, REMOVE),  # last, on the way back
        *(ReversibleSQL(name) for name in STATEMENTS),
        migrations.CreateModel(
            name='ProcrastinateEvent',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('type', models.CharField(choices=[('deferred', 'deferred'), ('started', 'started'), ('deferred_for_retry', 'deferred_for_retry'), ('failed', 'failed'), ('succeeded', 'succeeded'), ('cancelled', 'cancelled'), ('abort_requested', 'abort_requested'), ('aborted', 'aborted'), ('scheduled', 'scheduled')], max_length=32)),
                ('at', models.DateTimeField(blank=True, null=True)),
            ],
            options={
                'db_table': 'procrastinate_events',
                'get_latest_by': 'at',
                'managed': False,
            },
            bases=(procrastinate.contrib.django.models.ProcrastinateReadOnlyModelMixin, models.Model),
        ),
        migrations.CreateModel(
            name='ProcrastinateJob',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('queue_name', models.CharField(max_length=128)),
                ('task_name', models.CharField(max_length=128)),
                ('priority', models.IntegerField()),
                ('lock', models.TextField(blank=True, null=True, unique=True)),
                ('args', models.JSONField()),
                ('status', models.CharField(choices=[('todo', 'todo'), ('doing', 'doing'), ('succeeded', 'succeeded'), ('failed', 'failed'), ('cancelled', 'cancelled'), ('aborted', 'aborted')], max_length=32)),
                ('scheduled_at', models.DateTimeField(blank=True, null=True)),
                ('attempts', models.IntegerField()),
                ('queueing_lock', models.TextField(blank=True, null=True, unique=True)),
                ('abort_requested', models.BooleanField()),
            ],
            options={
                'db_table': 'procrastinate_jobs',
                'managed': False,
            },
            bases=(procrastinate.contrib.django.models.ProcrastinateReadOnlyModelMixin, models.Model),
        ),
        migrations.CreateModel(
            name='ProcrastinatePeriodicDefer',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('task_name', models.CharField(max_length=128)),
                ('defer_timestamp', models.BigIntegerField(blank=True, null=True)),
                ('periodic_id', models.CharField(max_length=128)),
            ],
            options={
                'db_table': 'procrastinate_periodic_defers',
                'managed': False,
            },
            bases=(procrastinate.contrib.django.models.ProcrastinateReadOnlyModelMixin, models.Model),
        ),
        migrations.CreateModel(
            name='ProcrastinateWorker',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('last_heartbeat', models.DateTimeField()),
            ],
            options={
                'db_table': 'procrastinate_workers',
                'managed': False,
            },
            bases=(procrastinate.contrib.django.models.ProcrastinateReadOnlyModelMixin, models.Model),
        ),
    ]
