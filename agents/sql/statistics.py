"""Statistics of spans: by what they are told apart, what is added up, and how durations are counted."""

from agents.sql.rows import EXECUTIONS, MODEL_CALLS, TOOL_EXECUTIONS, TOTALS

# Durations are counted in buckets that each end 8 % above the one before, from 10 microseconds to 29 hours.
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

ADD_HISTOGRAMS = """
CREATE FUNCTION agents_add_histograms(one int[], other int[]) RETURNS int[] LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $body$
BEGIN
    FOR i IN 1 .. cardinality(other) LOOP
        IF other[i] <> 0 THEN
            one[i] := one[i] + other[i];
        END IF;
    END LOOP;
    RETURN one;
END
$body$;
COMMENT ON FUNCTION agents_add_histograms(int[], int[]) IS 'The sum of two histograms.';
"""

# By what each kind's rows are told apart, and whether they count there. Every row has a status, so the sum over
# statuses is that of all. Of executions, only agents proper count by agent: what else there is are steps of theirs,
# which only add what they consumed, where nothing inside reports it.
_USED = "input_tokens + output_tokens + cached_tokens + reasoning_tokens + cost <> 0"
_BY_AGENT = f"('agent', CASE WHEN agent <> '' OR {_USED} THEN agent_name ELSE '' END, agent <> '')"
_BY_MODEL = "('model', model, true), ('provider', provider, true)"
_DIMENSIONS = {
    EXECUTIONS: f"(VALUES ('status', status, true), {_BY_AGENT}, {_BY_MODEL})",
    MODEL_CALLS: f"(VALUES ('status', status, true), ('agent', agent, true), {_BY_MODEL})",
    TOOL_EXECUTIONS: "(VALUES ('status', status, true), ('agent', agent, true), ('tool', tool, true))",
}
STATISTIC_SUMS = ("count", "failures", "open", *TOTALS)
STATISTIC_KEY = "organization_id, kind, dimension, width, start, value"


def statistics_of(table: str, rows: str) -> str:
    """Return the query of the statistics of ``rows``, a query of a kind's rows as the summaries see them."""
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
                  FROM ({rows}) AS seen CROSS JOIN LATERAL {_DIMENSIONS[table]} AS told_apart (dimension, value, counts)
                 WHERE started_at IS NOT NULL AND value <> ''
                 GROUP BY 1, 2, 3, 4, 5, 6) AS by_bucket
          CROSS JOIN (VALUES ('hour'), ('day')) AS widths (width)
         GROUP BY 1, 2, 3, 4, 5, 6"""


def statistics_upsert(table: str, rows: str) -> str:
    """Return the statement that adds what ``rows`` come to."""
    changed = " OR ".join(f"{each} <> 0" for each in STATISTIC_SUMS)
    return f"""
        INSERT INTO agents_spanstatistic AS s ({STATISTIC_KEY}, {", ".join(STATISTIC_SUMS)}, durations)
        SELECT * FROM ({statistics_of(table, rows)}) AS summed WHERE {changed} OR 0 <> ANY(durations)
        ON CONFLICT ({STATISTIC_KEY}) DO UPDATE SET
            {", ".join(f"{each} = s.{each} + excluded.{each}" for each in STATISTIC_SUMS)},
            durations = agents_add_histograms(s.durations, excluded.durations);"""
