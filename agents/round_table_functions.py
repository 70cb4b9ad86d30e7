"""The PL/pgSQL functions that hold round tables to their judgement; the first migration makes them."""

from core.database_functions import make

HAS_WEIGHTS = """
CREATE FUNCTION agents_has_weights(criteria jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $body$
    SELECT CASE WHEN jsonb_typeof(criteria) <> 'object' THEN false
        ELSE NOT EXISTS (
            SELECT FROM jsonb_each(criteria) AS each (name, weight)
             WHERE name = ''
                OR CASE WHEN jsonb_typeof(weight) = 'number'
                        THEN weight::numeric <= 0 OR weight::numeric > 1000 ELSE true END)
    END
$body$;
COMMENT ON FUNCTION agents_has_weights(jsonb) IS 'Whether a value is an object of names and weights above 0.';
"""

HAS_SCORES = """
CREATE FUNCTION agents_has_scores(scores jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $body$
    SELECT CASE WHEN jsonb_typeof(scores) <> 'object' THEN false
        ELSE NOT EXISTS (
            SELECT FROM jsonb_each(scores) AS each (name, score)
             WHERE name = ''
                OR CASE WHEN jsonb_typeof(score) = 'number' THEN abs(score::numeric) > 1000000 ELSE true END)
    END
$body$;
COMMENT ON FUNCTION agents_has_scores(jsonb) IS 'Whether a value is an object of names and scores.';
"""

TOTAL_SCORE = """
CREATE FUNCTION agents_total_score(criteria jsonb, scores jsonb) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $body$
    SELECT round(sum((criteria -> name)::numeric * score::numeric), 6) FROM jsonb_each(scores) AS each (name, score)
$body$;
COMMENT ON FUNCTION agents_total_score(jsonb, jsonb) IS
    'The sum of the scores, each times the weight of its criterion; null where there are none.';
"""

PAIR_RESULTS = """
CREATE FUNCTION agents_pair_results(which uuid)
RETURNS TABLE (one uuid, other uuid, share numeric, for_one bigint, for_other bigint, ties bigint)
LANGUAGE plpgsql STABLE AS $body$
#variable_conflict use_column
BEGIN
    RETURN QUERY WITH said AS (
        SELECT v.judge, least(v.first_id, v.second_id) AS a, greatest(v.first_id, v.second_id) AS b,
               CASE WHEN v.preferred = 'tie' THEN 'tie'
                    WHEN (v.preferred = 'first') = (v.first_id < v.second_id) THEN 'a' ELSE 'b' END AS vote
          FROM agents_roundtablevote v WHERE v.round_table_id = which
    ), heard AS (
        -- A judge whose two orders disagree followed the position, which says nothing of the answers.
        SELECT a, b, CASE WHEN min(vote) = max(vote) THEN min(vote) ELSE 'tie' END AS result,
               count(*) FILTER (WHERE vote = 'a') AS votes_a, count(*) FILTER (WHERE vote = 'b') AS votes_b,
               count(*) FILTER (WHERE vote = 'tie') AS votes_tie
          FROM said GROUP BY a, b, judge
    )
    SELECT a, b, avg(CASE result WHEN 'a' THEN 1.0 WHEN 'b' THEN 0.0 ELSE 0.5 END),
           sum(votes_a)::bigint, sum(votes_b)::bigint, sum(votes_tie)::bigint
      FROM heard GROUP BY a, b;
END
$body$;
COMMENT ON FUNCTION agents_pair_results(uuid) IS
    'What the votes on each pair of a round table''s entries came to: the share of the judges that one of them won.';
"""

VOTE_RANKS = """
CREATE FUNCTION agents_vote_ranks(which uuid) RETURNS TABLE (entry uuid, place bigint) LANGUAGE sql STABLE AS $body$
    SELECT id, rank() OVER (ORDER BY round(sum(points), 6) DESC)
      FROM (
          SELECT one AS id, share AS points FROM agents_pair_results(which)
          UNION ALL SELECT other, 1 - share FROM agents_pair_results(which)
      ) AS won
     GROUP BY id
$body$;
COMMENT ON FUNCTION agents_vote_ranks(uuid) IS
    'The ranks that follow from the votes: by pairs won, a tie counting half.';
"""

VOTE_CONSENSUS = """
CREATE FUNCTION agents_vote_consensus(which uuid) RETURNS numeric LANGUAGE sql STABLE AS $body$
    SELECT round(
               sum(CASE WHEN share > 0.5 THEN for_one WHEN share < 0.5 THEN for_other ELSE ties END)
               / nullif(sum(for_one + for_other + ties), 0), 4)
      FROM agents_pair_results(which)
$body$;
COMMENT ON FUNCTION agents_vote_consensus(uuid) IS 'The share of the votes that say what their pair came to.';
"""

JUDGED_STAYS = """
CREATE FUNCTION agents_judged_stays() RETURNS trigger LANGUAGE plpgsql AS $body$
DECLARE
    judged timestamptz;
BEGIN
    -- The lock makes a change that comes while the table is being judged wait, and then see the judgement.
    SELECT judged_at INTO judged FROM agents_roundtable WHERE id = OLD.round_table_id FOR SHARE;
    IF judged IS NOT NULL
       AND (TG_OP = 'DELETE' OR to_jsonb(NEW) - 'updated_at' <> to_jsonb(OLD) - 'updated_at') THEN
        RAISE EXCEPTION 'what belongs to a judged round table stays as it is'
            USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = TG_TABLE_NAME || '_judged_stays';
    END IF;
    RETURN coalesce(NEW, OLD);
END
$body$;
COMMENT ON FUNCTION agents_judged_stays() IS 'Refuses to change or delete entries and votes of a judged round table.';
"""

JUDGED_KEPT = """
CREATE FUNCTION agents_judged_kept() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    RAISE EXCEPTION 'a judged round table is kept; cancel it, and it counts no more'
        USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = 'agents_roundtable_judged_kept';
END
$body$;
COMMENT ON FUNCTION agents_judged_kept() IS 'Refuses to delete a judged round table.';
"""

CHECK_ENTRIES = """
CREATE FUNCTION agents_check_entries(which uuid) RETURNS text LANGUAGE plpgsql STABLE AS $body$
DECLARE
    this record;
    found record;
BEGIN
    SELECT * INTO this FROM agents_roundtable WHERE id = which;
    SELECT count(*) AS entries,
           CASE WHEN count(*) = count(cost) THEN sum(cost) END AS cost,
           count(*) FILTER (WHERE error = '') AS answers,
           count(rank) AS ranked,
           count(*) FILTER (WHERE scores <> '{}' OR total_score IS NOT NULL) AS scored,
           count(*) FILTER (WHERE rank = 1) AS firsts,
           count(*) FILTER (WHERE rank = 1 AND id = this.winner_id) AS winners,
           count(*) FILTER (WHERE rank <> place) AS misplaced,
           count(*) FILTER (WHERE scores <> '{}' AND NOT (scores ?& names AND names @> keys)) AS strange,
           count(*) FILTER (WHERE scores <> '{}' AND total_score IS DISTINCT FROM
                            agents_total_score(this.criteria, scores)) AS miscounted
      INTO found
      FROM (
          SELECT *, CASE WHEN rank IS NOT NULL THEN rank() OVER (PARTITION BY rank IS NULL ORDER BY rank) END AS place,
                 ARRAY(SELECT jsonb_object_keys(this.criteria)) AS names,
                 ARRAY(SELECT jsonb_object_keys(scores)) AS keys
            FROM agents_roundtableentry WHERE round_table_id = this.id
      ) AS entry;
    RETURN CASE
        WHEN found.entries < 2 OR found.entries <> this.entry_count THEN 'entries_counted'
        WHEN found.cost IS DISTINCT FROM this.total_cost THEN 'total_cost_sum'
        WHEN this.judged_at IS NULL THEN CASE WHEN found.ranked + found.scored > 0 THEN 'ranks_when_judged' END
        WHEN found.ranked <> found.answers OR found.answers = 0 THEN 'ranks_whole'
        WHEN found.misplaced > 0 THEN 'ranks_of_competition'
        WHEN found.scored NOT IN (0, found.answers) OR found.strange > 0 THEN 'scores_whole'
        WHEN found.miscounted > 0 THEN 'total_scores'
        WHEN found.winners = 0 AND (this.winner_id IS NOT NULL OR found.firsts = 1) THEN 'winner_first'
    END;
END
$body$;
COMMENT ON FUNCTION agents_check_entries(uuid) IS
    'The rule that a round table''s entries break, or null.';
"""

CHECK_VOTES = """
CREATE FUNCTION agents_check_votes(which uuid) RETURNS text LANGUAGE plpgsql STABLE AS $body$
DECLARE
    answers bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM agents_roundtablevote WHERE round_table_id = which) THEN
        RETURN NULL;
    END IF;
    SELECT count(rank) INTO answers FROM agents_roundtableentry WHERE round_table_id = which;
    RETURN CASE
        WHEN EXISTS (
            SELECT FROM agents_roundtablevote v
             WHERE v.round_table_id = which
               AND 2 <> (SELECT count(rank) FROM agents_roundtableentry e
                          WHERE e.round_table_id = which AND e.id IN (v.first_id, v.second_id))
        ) THEN 'votes_on_entries'
        WHEN EXISTS (
            SELECT FROM agents_roundtablevote v
             WHERE v.round_table_id = which
               AND NOT EXISTS (SELECT FROM agents_roundtablevote w
                                WHERE (w.round_table_id, w.judge, w.first_id, w.second_id)
                                    = (which, v.judge, v.second_id, v.first_id))
        ) THEN 'votes_in_both_orders'
        WHEN (SELECT count(*) FROM agents_pair_results(which)) <> answers * (answers - 1) / 2 THEN 'votes_on_all_pairs'
        WHEN EXISTS (
            SELECT FROM agents_vote_ranks(which) v JOIN agents_roundtableentry e ON e.id = v.entry
             WHERE e.rank <> v.place
        ) THEN 'ranks_of_votes'
    END;
END
$body$;
COMMENT ON FUNCTION agents_check_votes(uuid) IS 'The rule that a round table''s votes break, or null.';
"""

KEEP_ROUND_TABLE = """
CREATE FUNCTION agents_keep_round_table() RETURNS trigger LANGUAGE plpgsql AS $body$
DECLARE
    key uuid := (coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> TG_ARGV[0])::uuid;
    votes int;
    broken text;
BEGIN
    SELECT vote_count INTO votes FROM agents_roundtable WHERE id = key;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF votes <> (SELECT count(*) FROM agents_roundtablevote WHERE round_table_id = key) THEN
        broken := 'vote_count';
    ELSIF TG_TABLE_NAME <> 'agents_roundtablevote' THEN
        broken := agents_check_entries(key);
        -- Votes stand as they were given, and come with a change of the table: there they are looked at.
        IF broken IS NULL AND TG_TABLE_NAME = 'agents_roundtable' THEN
            broken := agents_check_votes(key);
        END IF;
    END IF;
    IF broken IS NOT NULL THEN
        RAISE EXCEPTION '%', CASE broken
            WHEN 'vote_count' THEN 'the votes of a round table come with its judgement, all at once'
            WHEN 'entries_counted' THEN 'a round table has two entries or more, and counts them all'
            WHEN 'total_cost_sum' THEN 'the total cost of a round table is what its entries cost'
            WHEN 'ranks_when_judged' THEN 'scores and ranks come with the judgement of a round table'
            WHEN 'ranks_whole' THEN 'a judged round table has a rank for each entry that didn''t fail'
            WHEN 'ranks_of_competition' THEN 'a rank is 1 and the number of entries that rank higher'
            WHEN 'scores_whole' THEN 'either all entries that didn''t fail have scores by all criteria, or none has any'
            WHEN 'total_scores' THEN 'a total score is the sum of the scores, each times the weight of its criterion'
            WHEN 'winner_first' THEN 'the winner of a round table is its entry of rank 1'
            WHEN 'votes_on_entries' THEN 'a vote is on two entries of its round table that didn''t fail'
            WHEN 'votes_in_both_orders' THEN 'a judge who votes on two entries sees them in both orders'
            WHEN 'votes_on_all_pairs' THEN 'the votes of a round table are on all pairs of its entries'
            WHEN 'ranks_of_votes' THEN 'where there are votes, the ranks follow from them'
        END
        USING ERRCODE = 'check_violation', TABLE = 'agents_roundtable', CONSTRAINT = 'agents_roundtable_' || broken;
    END IF;
    RETURN NULL;
END
$body$;
COMMENT ON FUNCTION agents_keep_round_table() IS
    'Holds a round table, its entries and votes to each other. Argument: the column of the round table''s id.';
"""

OPERATIONS = [
    make("agents_has_weights", HAS_WEIGHTS),
    make("agents_has_scores", HAS_SCORES),
    make("agents_total_score", TOTAL_SCORE),
    make("agents_pair_results", PAIR_RESULTS),
    make("agents_vote_ranks", VOTE_RANKS),
    make("agents_vote_consensus", VOTE_CONSENSUS),
    make("agents_check_entries", CHECK_ENTRIES),
    make("agents_check_votes", CHECK_VOTES),
    make("agents_judged_stays", JUDGED_STAYS),
    make("agents_judged_kept", JUDGED_KEPT),
    make("agents_keep_round_table", KEEP_ROUND_TABLE),
]
