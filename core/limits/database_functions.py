"""The PL/pgSQL function that hands out what is left of a limit."""

from django.db import migrations

RESERVE = """
CREATE FUNCTION muster_reserve(buckets text[], quotas integer[], wants integer[], seconds double precision)
RETURNS TABLE (tokens integer, remaining integer, seconds_left double precision) LANGUAGE plpgsql AS $body$
DECLARE
    present limits_ratewindow%ROWTYPE;
BEGIN
    FOR i IN 1 .. cardinality(buckets) LOOP
        LOOP
            SELECT * INTO present FROM limits_ratewindow WHERE bucket = buckets[i] FOR UPDATE;
            EXIT WHEN FOUND;
            INSERT INTO limits_ratewindow (bucket, used, ends_at) VALUES (buckets[i], 0, '-infinity')
            ON CONFLICT DO NOTHING;
        END LOOP;
        IF present.ends_at <= clock_timestamp() THEN
            present.used := 0;
            present.ends_at := clock_timestamp() + seconds * interval '1 second';
        END IF;
        remaining := greatest(0, quotas[i] - present.used);
        -- The less is left, the less is handed out at once, so that little of it lies idle at the end.
        tokens := least(wants[i], remaining, greatest(1, remaining / 8));
        remaining := remaining - tokens;
        seconds_left := extract(epoch FROM present.ends_at - clock_timestamp());
        UPDATE limits_ratewindow SET used = present.used + tokens, ends_at = present.ends_at WHERE bucket = buckets[i];
        RETURN NEXT;
    END LOOP;
END
$body$;
COMMENT ON FUNCTION muster_reserve(text[], integer[], integer[], double precision)
IS 'Takes some of what is left of each limit in its window. Buckets come in the same order from everybody.';
"""

OPERATIONS = [
    # Counts of a minute needn't outlive a crash; room in the pages keeps their updates within them.
    migrations.RunSQL(
        "ALTER TABLE limits_ratewindow SET UNLOGGED; ALTER TABLE limits_ratewindow SET (fillfactor = 50)",
        "ALTER TABLE limits_ratewindow SET LOGGED",
    ),
    migrations.RunSQL(RESERVE, "DROP FUNCTION muster_reserve(text[], integer[], integer[], double precision)"),
]
