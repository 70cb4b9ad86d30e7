"""The PL/pgSQL functions of agents' triggers, which the first migration makes."""

from core.database_functions import make

NUMBER_RUN = """
CREATE FUNCTION agents_number_run() RETURNS trigger LANGUAGE plpgsql AS $body$
DECLARE
    next_number int;
BEGIN
    -- Runs of one task take turns here, so that each sees the number of the one before it.
    PERFORM 1 FROM agents_task WHERE id = NEW.task_id FOR NO KEY UPDATE;
    SELECT coalesce(max(run_number), 0) + 1 INTO next_number FROM agents_taskrun WHERE task_id = NEW.task_id;
    IF coalesce(NEW.run_number, 0) = 0 THEN
        NEW.run_number := next_number;
    ELSIF NEW.run_number <> next_number THEN
        RAISE EXCEPTION '"run_number" must be the task''s next one, %', next_number
            USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, COLUMN = 'run_number',
                  CONSTRAINT = 'agents_taskrun_number_next';
    END IF;
    RETURN NEW;
END
$body$;
COMMENT ON FUNCTION agents_number_run() IS 'Numbers the runs of a task 1, 2, 3, …';
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
    make("agents_number_run", NUMBER_RUN),
    make("agents_count_run", COUNT_RUN),
    make("agents_number_context", NUMBER_CONTEXT),
    make("agents_modification_reviewer", MODIFICATION_REVIEWER),
]
