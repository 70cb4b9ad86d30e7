"""The PL/pgSQL functions that records share: identifiers, timestamps, transitions, audit.

core's first migration makes them, in the same migration as the user model, which others depend on. A change
to one of them is a new migration with ``CREATE OR REPLACE FUNCTION``; this page then keeps the first version.
"""

from django.contrib.postgres.operations import TrigramExtension
from django.db import migrations

UUID7 = """
DO $make$
BEGIN
    IF current_setting('server_version_num')::int >= 180000 THEN
        CREATE FUNCTION muster_uuid7() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE
        AS 'SELECT uuidv7()';
    ELSE
        -- RFC 9562, section 5.7: 48 bits of Unix milliseconds, version, 12 random bits, variant, 62 random bits.
        CREATE FUNCTION muster_uuid7() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE
        AS $body$
            SELECT encode(
                set_bit(set_bit(
                    overlay(
                        uuid_send(gen_random_uuid())
                        PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
                        FROM 1 FOR 6
                    ), 52, 1), 53, 1),
                'hex')::uuid
        $body$;
    END IF;
END
$make$;
COMMENT ON FUNCTION muster_uuid7() IS 'A time-ordered UUID (version 7, RFC 9562).';
"""

TOUCH = """
CREATE FUNCTION muster_touch() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    -- Compares any type, json too, which has no equality. Before a change NEW has no generated columns, in the
    -- second argument, yet: PostgreSQL works them out afterwards.
    IF NEW *<> OLD AND (TG_NARGS < 2 OR NEW *<> jsonb_populate_record(OLD, TG_ARGV[1]::jsonb)) THEN
        NEW.updated_at := clock_timestamp();
        IF TG_ARGV[0] = 'row_version' THEN
            NEW.row_version := OLD.row_version + 1;
        END IF;
    END IF;
    RETURN NEW;
END
$body$;
COMMENT ON FUNCTION muster_touch() IS 'Keeps updated_at, and row_version where it is named, true for every writer.';
"""

IMMUTABLE = """
CREATE FUNCTION muster_immutable() RETURNS trigger LANGUAGE plpgsql AS $body$
DECLARE
    old_row jsonb := to_jsonb(OLD);
    new_row jsonb := to_jsonb(NEW);
    col text;
BEGIN
    FOREACH col IN ARRAY TG_ARGV LOOP
        IF old_row -> col IS DISTINCT FROM new_row -> col THEN
            RAISE EXCEPTION '"%" of % never changes', col, TG_TABLE_NAME
                USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, COLUMN = col,
                      CONSTRAINT = TG_TABLE_NAME || '_' || col || '_immutable';
        END IF;
    END LOOP;
    RETURN NEW;
END
$body$;
COMMENT ON FUNCTION muster_immutable() IS 'Refuses to change the columns named as arguments.';
"""

APPEND_ONLY = """
CREATE FUNCTION muster_append_only() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = TG_TABLE_NAME || '_append_only';
END
$body$;
COMMENT ON FUNCTION muster_append_only() IS 'Refuses whatever it is attached to.';
"""

TRANSITION = """
CREATE FUNCTION muster_transition() RETURNS trigger LANGUAGE plpgsql AS $body$
DECLARE
    old_status text := to_jsonb(OLD) ->> TG_ARGV[0];
    new_status text := to_jsonb(NEW) ->> TG_ARGV[0];
BEGIN
    IF old_status IS DISTINCT FROM new_status
       AND NOT concat(old_status, '>', new_status) = ANY (TG_ARGV[1:]) THEN
        RAISE EXCEPTION '"%" of % can''t move from "%" to "%"', TG_ARGV[0], TG_TABLE_NAME, old_status, new_status
            USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, COLUMN = TG_ARGV[0],
                  CONSTRAINT = TG_TABLE_NAME || '_' || TG_ARGV[0] || '_transitions';
    END IF;
    RETURN NEW;
END
$body$;
COMMENT ON FUNCTION muster_transition() IS
    'Lets the column of the first argument move only along the others, each "old>new".';
"""

LAST_OWNER = """
CREATE FUNCTION muster_last_owner() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF OLD.role <> 'owner' OR (TG_OP = 'UPDATE' AND NEW.role = 'owner') THEN
        RETURN NULL;
    END IF;
    -- Two owners who leave at once take turns here, so that the second sees the first one gone; but not in a
    -- transaction that goes on seeing what stood when it began.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'owners leave only in a transaction that is READ COMMITTED'
            USING ERRCODE = 'invalid_transaction_state';
    END IF;
    PERFORM 1 FROM core_organization WHERE id = OLD.organization_id FOR NO KEY UPDATE;
    IF NOT EXISTS (SELECT FROM core_membership WHERE organization_id = OLD.organization_id AND role = 'owner') THEN
        RAISE EXCEPTION 'organization % would lose its last owner', OLD.organization_id
            USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, COLUMN = 'role',
                  CONSTRAINT = 'core_membership_last_owner';
    END IF;
    RETURN NULL;
END
$body$;
COMMENT ON FUNCTION muster_last_owner() IS 'Keeps one owner in every organization that has had one.';
"""

AUDIT = """
CREATE FUNCTION muster_audit() RETURNS trigger LANGUAGE plpgsql AS $body$
DECLARE
    options jsonb := TG_ARGV[1]::jsonb;
    context jsonb := nullif(current_setting('muster.context', true), '')::jsonb;
    old_row jsonb := to_jsonb(OLD);
    new_row jsonb := to_jsonb(NEW);
    this_row jsonb := coalesce(new_row, old_row);
    verb text := 'update';
    secret text;
BEGIN
    IF TG_OP = 'INSERT' THEN
        verb := 'create';
    ELSIF TG_OP = 'DELETE' THEN
        verb := 'delete';
    ELSE
        IF options ? 'status' THEN
            verb := coalesce(options -> 'verbs' ->> concat(
                old_row ->> (options ->> 'status'), '>', new_row ->> (options ->> 'status')), verb);
        END IF;
        IF old_row -> 'deleted_at' IS DISTINCT FROM new_row -> 'deleted_at' THEN
            verb := CASE WHEN new_row ->> 'deleted_at' IS NULL THEN 'restore' ELSE 'delete' END;
        END IF;
        SELECT jsonb_object_agg(each.key, each.value), jsonb_object_agg(each.key, new_row -> each.key)
          INTO old_row, new_row
          FROM jsonb_each(old_row) AS each
         WHERE each.value IS DISTINCT FROM new_row -> each.key AND NOT options -> 'ignore' ? each.key;
        IF old_row IS NULL THEN
            RETURN NULL;
        END IF;
    END IF;

    FOR secret IN SELECT jsonb_array_elements_text(options -> 'redact') LOOP
        IF old_row ? secret THEN
            old_row := jsonb_set(old_row, ARRAY[secret], '"[redacted]"');
        END IF;
        IF new_row ? secret THEN
            new_row := jsonb_set(new_row, ARRAY[secret], '"[redacted]"');
        END IF;
    END LOOP;

    INSERT INTO core_auditevent (
        id, timestamp, event_type, resource_type, resource_id, organization_id, user_id, user_email, api_key_id,
        request_id, ip_address, user_agent, details, old_value, new_value, success, error_message
    ) VALUES (
        muster_uuid7(),
        clock_timestamp(),
        TG_ARGV[0] || '.' || verb,
        TG_ARGV[0],
        (this_row ->> 'id')::uuid,
        (this_row ->> (options ->> 'organization'))::uuid,
        (context ->> 'user')::uuid,
        coalesce(context ->> 'email', ''),
        (context ->> 'api_key')::uuid,
        coalesce(context ->> 'request_id', ''),
        (context ->> 'ip_address')::inet,
        coalesce(context ->> 'user_agent', ''),
        coalesce(context -> 'details', jsonb_build_object(
            'source', coalesce(nullif(current_setting('application_name'), ''), 'database'),
            'database_role', session_user)),
        old_row, new_row, true, ''
    );
    RETURN NULL;
END
$body$;
COMMENT ON FUNCTION muster_audit() IS
    'Writes an audit event for the row. Arguments: the resource, and options as JSON (see core.triggers.Audit).';
"""


PATTERNS = """
CREATE FUNCTION muster_patterns(event_type text) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ARRAY['*', split_part(event_type, '.', 1) || '.*', event_type];
COMMENT ON FUNCTION muster_patterns(text) IS 'The patterns of event types that an event fits.';
"""

# The dispatcher holds the advisory lock while it works, and for a while after: as a rule it sees the row once this
# transaction is committed. What it misses, of a long transaction, goes out with the job of the next minute.
DELIVER = """
CREATE FUNCTION muster_deliver() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF NEW.organization_id IS NULL OR NEW.event_type = 'webhook.test' THEN  -- tests go to one webhook, by the service
        RETURN NULL;
    END IF;
    INSERT INTO core_webhookdelivery (
        organization_id, webhook_id, event_id, event_type, resource_id, status, attempt_count
    )
    SELECT NEW.organization_id, webhook.id, NEW.id, NEW.event_type, NEW.resource_id, 'pending', 0
      FROM core_webhook webhook
     WHERE webhook.organization_id = NEW.organization_id AND webhook.is_active
       AND webhook.event_types && muster_patterns(NEW.event_type)::varchar[];
    IF NOT FOUND OR NOT pg_try_advisory_lock_shared(hashtext('muster_webhooks')) THEN
        RETURN NULL;
    END IF;
    PERFORM pg_advisory_unlock_shared(hashtext('muster_webhooks'));
    IF NOT EXISTS (
        SELECT FROM procrastinate_jobs
         WHERE status = 'todo' AND priority = 90 AND task_name = 'core.tasks.dispatch_webhooks'
           AND scheduled_at IS NULL
    ) THEN
        INSERT INTO procrastinate_jobs (queue_name, task_name, priority)
        VALUES ('webhooks', 'core.tasks.dispatch_webhooks', 90);
    END IF;
    RETURN NULL;
END
$body$;
COMMENT ON FUNCTION muster_deliver() IS 'Writes a delivery for each webhook of the organization that the event is for.';
"""


# Not of events about the integration itself: that a message failed would be a message.
NOTIFY = """
CREATE FUNCTION muster_notify() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF NEW.organization_id IS NOT NULL THEN
        INSERT INTO procrastinate_jobs (queue_name, task_name, args)
        SELECT 'integrations', 'core.tasks.notify_slack',
               jsonb_build_object('integration_id', integration.id, 'event_id', NEW.id)
          FROM core_integration integration
         WHERE integration.organization_id = NEW.organization_id
           AND integration.provider = 'slack' AND integration.status <> 'disabled'
           AND integration.id IS DISTINCT FROM NEW.resource_id
           AND integration.config -> 'events'
               ?| muster_patterns(NEW.event_type);
    END IF;
    RETURN NULL;
END
$body$;
COMMENT ON FUNCTION muster_notify() IS 'Enqueues a message for each Slack integration that is to be told of the event.';
"""

INTEGRATION_ADDRESS = """
CREATE FUNCTION muster_integration_address() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF NEW.config -> 'api_url' IS DISTINCT FROM OLD.config -> 'api_url' AND NEW.token = OLD.token AND OLD.token <> ''
    THEN
        RAISE EXCEPTION '"config.api_url" changes only together with "token", which was given for the old address'
            USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, COLUMN = 'config',
                  CONSTRAINT = 'core_integration_address_token';
    END IF;
    RETURN NEW;
END
$body$;
COMMENT ON FUNCTION muster_integration_address() IS 'Refuses to send a stored token to another address.';
"""


def make(name: str, sql: str) -> migrations.RunSQL:
    """Return the operation that makes a function, and drops it in reverse."""
    return migrations.RunSQL(sql, f"DROP FUNCTION {name}")


OPERATIONS = [
    TrigramExtension(),  # here, for all apps, since dropping it waits for the last of them
    make("muster_uuid7", UUID7),
    make("muster_touch", TOUCH),
    make("muster_immutable", IMMUTABLE),
    make("muster_append_only", APPEND_ONLY),
    make("muster_transition", TRANSITION),
    make("muster_last_owner", LAST_OWNER),
    make("muster_audit", AUDIT),
    make("muster_patterns(text)", PATTERNS),
    make("muster_deliver", DELIVER),
    make("muster_notify", NOTIFY),
    make("muster_integration_address", INTEGRATION_ADDRESS),
]
