"""The PL/pgSQL functions of agents' triggers, which the first migration makes."""

from agents import round_table_functions
from agents.sql import triggers
from core.database_functions import make

MAX_ACTIVE_RUNS = """
CREATE FUNCTION agents_max_active_runs(config jsonb) RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $body$
    SELECT CASE
        WHEN jsonb_typeof(config) <> 'object' THEN 0
        WHEN NOT config ? 'max_active_runs' THEN 1
        WHEN jsonb_typeof(config -> 'max_active_runs') = 'number'
             AND config ->> 'max_active_runs' ~ '^([1-9][0-9]{0,2}|1000)$' THEN (config ->> 'max_active_runs')::int
        ELSE 0
    END
$body$;
COMMENT ON FUNCTION agents_max_active_runs(jsonb) IS
    'How many runs a task''s config lets go at once: 1 unless it says more, 0 where what it says isn''t 1 to 1000.';
"""

NUMBER_RUN = """
CREATE FUNCTION agents_number_run() RETURNS trigger LANGUAGE plpgsql AS $body$
DECLARE
    task_status text;
    most int;
    active int;
BEGIN
    -- Runs of one task take turns here, so that each sees the one before it.
    SELECT status, agents_max_active_runs(config) INTO task_status, most
      FROM agents_task WHERE id = NEW.task_id FOR NO KEY UPDATE;
    IF coalesce(NEW.run_number, 0) = 0 THEN
        SELECT coalesce(max(run_number), 0) + 1 INTO NEW.run_number FROM agents_taskrun WHERE task_id = NEW.task_id;
    END IF;
    IF NEW.status IN ('pending', 'running') THEN
        IF task_status NOT IN ('pending', 'running') THEN
            RAISE EXCEPTION 'a task that is "%" takes no active run', task_status
                USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, COLUMN = 'status',
                      CONSTRAINT = 'agents_taskrun_task_open';
        END IF;
        SELECT count(*) INTO active FROM agents_taskrun
         WHERE task_id = NEW.task_id AND status IN ('pending', 'running');
        IF active >= most THEN
            RAISE EXCEPTION '% of % runs of the task that may be active at once are active', active, most
                USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, COLUMN = 'status',
                      CONSTRAINT = 'agents_taskrun_active';
        END IF;
    END IF;
    RETURN NEW;
END
$body$;
COMMENT ON FUNCTION agents_number_run() IS
    'Numbers the runs of a task 1, 2, 3, …, and lets no more of them be active than the task''s config says.';
"""

GAPLESS_RUNS = """
CREATE FUNCTION agents_gapless_runs() RETURNS trigger LANGUAGE plpgsql AS $body$
DECLARE
    task uuid := coalesce(NEW.task_id, OLD.task_id);
    number int := coalesce(NEW.run_number, OLD.run_number + 1);
BEGIN
    -- Number stands, and the one before it doesn't.
    IF number > 1
       AND EXISTS (SELECT FROM agents_taskrun WHERE task_id = task AND run_number = number)
       AND NOT EXISTS (SELECT FROM agents_taskrun WHERE task_id = task AND run_number = number - 1) THEN
        RAISE EXCEPTION 'run % of the task has none before it', number
            USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, COLUMN = 'run_number',
                  CONSTRAINT = 'agents_taskrun_number_gapless';
    END IF;
    RETURN NULL;
END
$body$;
COMMENT ON FUNCTION agents_gapless_runs() IS 'Refuses numbers of runs with a gap between them.';
"""

COUNT_RUN = """
CREATE FUNCTION agents_count_run() RETURNS trigger LANGUAGE plpgsql AS $body$
DECLARE
    runs int := (TG_OP <> 'DELETE')::int - (TG_OP <> 'INSERT')::int;
    successes int := 0;
    failures int := 0;
BEGIN
    IF TG_OP <> 'DELETE' THEN
        successes := successes + (NEW.status = 'completed')::int;
        failures := failures + (NEW.status = 'failed')::int;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        successes := successes - (OLD.status = 'completed')::int;
        failures := failures - (OLD.status = 'failed')::int;
    END IF;
    IF runs <> 0 OR successes <> 0 OR failures <> 0 THEN
        UPDATE agents_task
           SET total_runs = total_runs + runs,
               successful_runs = successful_runs + successes,
               failed_runs = failed_runs + failures
         WHERE id = coalesce(NEW.task_id, OLD.task_id);
    END IF;
    RETURN NULL;
END
$body$;
COMMENT ON FUNCTION agents_count_run() IS 'Keeps the counters of a task equal to what counting its runs would say.';
"""

KEEP_TASK = """
CREATE FUNCTION agents_keep_task() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    -- Only agents_count_run moves the counters, from within its trigger. What others write, such as a fixture or a
    -- record that was read before a run ended, gives way to what counting says.
    IF TG_OP = 'INSERT'
       OR (pg_trigger_depth() = 1
           AND (NEW.total_runs, NEW.successful_runs, NEW.failed_runs)
               IS DISTINCT FROM (OLD.total_runs, OLD.successful_runs, OLD.failed_runs)) THEN
        SELECT count(*), count(*) FILTER (WHERE status = 'completed'), count(*) FILTER (WHERE status = 'failed')
          INTO NEW.total_runs, NEW.successful_runs, NEW.failed_runs
          FROM agents_taskrun WHERE task_id = NEW.id;
    END IF;
    IF NEW.status NOT IN ('pending', 'running')
       AND (TG_OP = 'INSERT' OR NEW.status <> OLD.status)
       AND EXISTS (SELECT FROM agents_taskrun WHERE task_id = NEW.id AND status IN ('pending', 'running')) THEN
        RAISE EXCEPTION 'a task with active runs can''t become "%"', NEW.status
            USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, COLUMN = 'status',
                  CONSTRAINT = 'agents_task_no_active_runs';
    END IF;
    RETURN NEW;
END
$body$;
COMMENT ON FUNCTION agents_keep_task() IS
    'Keeps the counters of a task true whatever is written to them, and lets none end that has active runs.';
"""

RUN_OF_TASK = """
CREATE FUNCTION agents_run_of_task() RETURNS trigger LANGUAGE plpgsql AS $body$
DECLARE
    task_of_run uuid;
BEGIN
    IF NEW.task_run_id IS NULL THEN
        RETURN NEW;
    END IF;
    -- Here and not at the transaction's end, as foreign keys are checked, because the task is filled in here.
    SELECT task_id INTO task_of_run FROM agents_taskrun
     WHERE id = NEW.task_run_id AND organization_id = NEW.organization_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'run % doesn''t exist in the organization', NEW.task_run_id
            USING ERRCODE = 'foreign_key_violation', TABLE = TG_TABLE_NAME, COLUMN = 'task_run_id',
                  CONSTRAINT = TG_TABLE_NAME || '_task_run';
    END IF;
    NEW.task_id := coalesce(NEW.task_id, task_of_run);
    IF NEW.task_id <> task_of_run THEN
        RAISE EXCEPTION '"task_run" is a run of another task'
            USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, COLUMN = 'task_run',
                  CONSTRAINT = TG_TABLE_NAME || '_run_of_task';
    END IF;
    RETURN NEW;
END
$body$;
COMMENT ON FUNCTION agents_run_of_task() IS 'Keeps the run that evidence comes from a run of its task.';
"""

KEEP_INSIGHT = """
CREATE FUNCTION agents_keep_insight() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF OLD.status <> 'draft' AND NEW.insight <> OLD.insight THEN
        RAISE EXCEPTION '"insight" changes only while it is a draft'
            USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, COLUMN = 'insight',
                  CONSTRAINT = 'agents_learninginsight_kept';
    END IF;
    IF NEW.times_applied <> OLD.times_applied
       AND (NEW.status <> 'accepted' OR NEW.times_applied < OLD.times_applied) THEN
        RAISE EXCEPTION '"times_applied" only rises, and only while the insight is accepted'
            USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, COLUMN = 'times_applied',
                  CONSTRAINT = 'agents_learninginsight_applications';
    END IF;
    RETURN NEW;
END
$body$;
COMMENT ON FUNCTION agents_keep_insight() IS 'Keeps an accepted insight, and counts its applications upwards.';
"""

NUMBER_CONTEXT = """
CREATE FUNCTION agents_number_context() RETURNS trigger LANGUAGE plpgsql AS $body$
DECLARE
    next_version int;
BEGIN
    -- Contexts of one project take turns here, so that each sees the version of the one before it.
    PERFORM 1 FROM agents_project WHERE id = NEW.project_id FOR NO KEY UPDATE;
    SELECT coalesce(max(version), 0) + 1 INTO next_version FROM agents_projectcontext WHERE project_id = NEW.project_id;
    IF coalesce(NEW.version, 0) = 0 THEN
        NEW.version := next_version;
    ELSIF NEW.version <> next_version THEN
        RAISE EXCEPTION '"version" must be the project''s next one, %', next_version
            USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, COLUMN = 'version',
                  CONSTRAINT = 'agents_projectcontext_version_next';
    END IF;
    RETURN NEW;
END
$body$;
COMMENT ON FUNCTION agents_number_context() IS 'Numbers the contexts of a project 1, 2, 3, …';
"""

MODIFICATION_REVIEWER = """
CREATE FUNCTION agents_modification_reviewer() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    -- A review stands as the settings were at its time: only a new reviewer is judged.
    IF NEW.reviewed_by_id IS DISTINCT FROM NEW.requested_by_id
       OR TG_OP = 'UPDATE' AND OLD.reviewed_by_id IS NOT DISTINCT FROM NEW.reviewed_by_id THEN
        RETURN NEW;
    END IF;
    IF NOT EXISTS (
        SELECT FROM core_organization
         WHERE id = NEW.organization_id AND settings #> '{modifications,self_review}' = 'true'
    ) THEN
        RAISE EXCEPTION 'whoever asked for a modification can''t review it'
            USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, COLUMN = 'reviewed_by_id',
                  CONSTRAINT = 'agents_modification_self_review';
    END IF;
    RETURN NEW;
END
$body$;
COMMENT ON FUNCTION agents_modification_reviewer() IS
    'Refuses a review by whoever asked, unless the organization''s setting modifications.self_review is true.';
"""

OPERATIONS = [
    make("agents_max_active_runs", MAX_ACTIVE_RUNS),
    make("agents_number_run", NUMBER_RUN),
    make("agents_gapless_runs", GAPLESS_RUNS),
    make("agents_count_run", COUNT_RUN),
    make("agents_keep_task", KEEP_TASK),
    make("agents_run_of_task", RUN_OF_TASK),
    make("agents_keep_insight", KEEP_INSIGHT),
    make("agents_number_context", NUMBER_CONTEXT),
    make("agents_modification_reviewer", MODIFICATION_REVIEWER),
    *triggers.OPERATIONS,
    *round_table_functions.OPERATIONS,
]
