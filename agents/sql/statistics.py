"""Statistics of spans: by what they are told apart, what is added up, and how durations are counted."""

from agents.sql.rows import TOTALS

# Durations are counted in buckets that each end 8 % above the one before, from 10 microseconds to 27 hours.
BUCKETS = 300
RATIO = 1.08
FINEST = 0.00001

DURATION_BUCKET = f"""
CREATE FUNCTION agents_duration_bucket(seconds double precision) RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $body$
    SELECT CASE WHEN seconds <= {FINEST} THEN 1
           WHEN seconds > {FINEST} THEN least({BUCKETS}, 1 + ceil(ln(seconds / {FINEST}) / ln({RATIO})))::int END
$body$;
COMMENT ON FUNCTION agents_duration_bucket(double precision) IS
    'The bucket of a duration: 1 holds what is shorter than can be told; each ends 8 % above the one before it.';
"""

HISTOGRAM = f"""
CREATE FUNCTION agents_histogram(buckets int[], counts bigint[]) RETURNS int[] LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $body$
DECLARE
    made int[] := array_fill(0, ARRAY[{BUCKETS}]);
BEGIN
    FOR i IN 1 .. coalesce(cardinality(buckets), 0) LOOP
        made[buckets[i]] := made[buckets[i]] + counts[i];
    END LOOP;
    RETURN made;
END
$body$;
COMMENT ON FUNCTION agents_histogram(int[], bigint[]) IS 'A histogram, of buckets and how many each holds.';
"""

ADD_DURATIONS = f"""
CREATE FUNCTION agents_add_durations(histogram int[], buckets smallint[]) RETURNS int[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $body$
DECLARE
    made int[] := coalesce(histogram, array_fill(0, ARRAY[{BUCKETS}]));
    bucket smallint;
BEGIN
    IF buckets IS NOT NULL THEN
        FOREACH bucket IN ARRAY buckets LOOP
            IF bucket > 0 THEN
                made[bucket] := made[bucket] + 1;
            ELSE
                made[-bucket] := made[-bucket] - 1;
            END IF;
        END LOOP;
    END IF;
    RETURN made;
END
$body$;
COMMENT ON FUNCTION agents_add_durations(int[], smallint[]) IS
    'The histogram, or an empty one, with one more in each bucket; one less where its number is negative.';
"""

# By what rows are told apart, and whether they count there: not by what is empty. Every row has a status, so the sum
# over statuses is that of all. Of executions, only agents proper count by agent: what else there is are steps of
# theirs, which only add what they consumed, where nothing inside reports it.
_USED = "input_tokens + output_tokens + cached_tokens + reasoning_tokens + cost <> 0"
_DIMENSIONS = f"""(VALUES ('status', status, true),
    ('agent', CASE WHEN agent <> '' OR {_USED} THEN agent_name ELSE '' END, agent <> ''),
    ('model', model, true), ('provider', provider, true), ('tool', tool, true))"""
STATISTIC_SUMS = ("count", "failures", "open", *TOTALS)
STATISTIC_KEY = "organization_id, kind, dimension, width, start, value"


def statistics_of(rows: str) -> str:
    """Return the query of the statistics of ``rows``, a query of rows as the summaries see them."""
    return f"""
        SELECT organization_id, kind, dimension, width, date_trunc(width, by_bucket.start, 'UTC') AS start, value,
               {", ".join(f"sum({each}) AS {each}" for each in STATISTIC_SUMS)},
               agents_histogram(array_agg(bucket) FILTER (WHERE bucket IS NOT NULL AND count <> 0),
                                array_agg(count) FILTER (WHERE bucket IS NOT NULL AND count <> 0)) AS durations
          FROM (SELECT organization_id, kind, dimension, value, date_trunc('hour', started_at, 'UTC') AS start,
                       CASE WHEN counts THEN agents_duration_bucket(duration) END AS bucket,
                       sum(sign * counts::int) AS count,
                       sum(sign * (counts AND failed)::int) AS failures,
                       sum(sign * (counts AND open)::int) AS open,
                       {", ".join(f"sum(sign * {each}) AS {each}" for each in TOTALS)}
                  FROM ({rows}) AS seen CROSS JOIN LATERAL {_DIMENSIONS} AS told_apart (dimension, value, counts)
                 WHERE started_at IS NOT NULL AND value <> ''
                 GROUP BY 1, 2, 3, 4, 5, 6) AS by_bucket
          CROSS JOIN (VALUES ('hour'), ('day')) AS widths (width)
         GROUP BY 1, 2, 3, 4, 5, 6"""


def _changes(rows: str) -> str:
    """Return the query of what ``rows`` add to statistics.

    Each row's bucket is listed, with its sign, and not counted first as in :func:`statistics_of`: quicker for the rows
    of one statement, but memory for each row.
    """
    sums = [f"sum(sign * {each}) AS {each}" for each in TOTALS]
    return f"""
        SELECT organization_id, kind, dimension, CASE WHEN hour IS NULL THEN 'day' ELSE 'hour' END AS width,
               coalesce(hour, day) AS start, value, sum(sign * counts::int) AS count,
               sum(sign * (counts AND failed)::int) AS failures, sum(sign * (counts AND open)::int) AS open,
               {", ".join(sums)},
               array_agg((sign * bucket)::smallint) FILTER (WHERE counts AND bucket IS NOT NULL) AS buckets
          FROM (SELECT *, agents_duration_bucket(duration) AS bucket, date_trunc('hour', started_at, 'UTC') AS hour,
                       date_trunc('day', started_at, 'UTC') AS day
                  FROM ({rows}) AS seen WHERE started_at IS NOT NULL OFFSET 0) AS placed
          CROSS JOIN LATERAL {_DIMENSIONS} AS told_apart (dimension, value, counts)
         WHERE value <> ''
         GROUP BY GROUPING SETS ((organization_id, kind, dimension, value, hour),
                                 (organization_id, kind, dimension, value, day))"""


def add_statistics(rows: str) -> str:
    """Return the statement that adds what ``rows`` come to. Nobody else may do so for the organization meanwhile."""
    changed = " OR ".join(f"{each} <> 0" for each in STATISTIC_SUMS)
    key = " AND ".join(f"s.{each} = c.{each}" for each in STATISTIC_KEY.split(", "))
    return f"""
        MERGE INTO agents_spanstatistic AS s
        USING (SELECT * FROM ({_changes(rows)}) AS summed
                WHERE {changed} OR 0 <> ANY(agents_add_durations(NULL, buckets))) AS c
           ON {key}
        WHEN MATCHED THEN UPDATE SET
            {", ".join(f"{each} = s.{each} + c.{each}" for each in STATISTIC_SUMS)},
            durations = agents_add_durations(s.durations, c.buckets)
        WHEN NOT MATCHED THEN INSERT ({STATISTIC_KEY}, {", ".join(STATISTIC_SUMS)}, durations)
            VALUES ({", ".join(f"c.{each.strip()}" for each in (*STATISTIC_KEY.split(","), *STATISTIC_SUMS))},
                    agents_add_durations(NULL, c.buckets));"""
