"""The functions that keep term vectors and document frequencies with the chunks, and chunks' parts with them.

They run once a statement, over all the rows that it wrote. All writers of an organization's chunks take turns from
the first such statement to the end of their transaction: they would wait for each other at the commonest word anyway,
and at two common words each for the other.
"""

from core.database_functions import make

DIMENSIONS = 2**29  # of term vectors: a power of two below pgvector's limit of 10^9

# BM25 (Robertson and Zaragoza 2009, section 3.4): k1 says how fast repetition ceases to count, b how much length does.
# Lengths are measured against a fixed one instead of the corpus' mean, so that a weight once computed stays true.
K1, B = 1.2, 0.75
USUAL_LENGTH = 100  # lexemes: a chunk of 150 to 180 words without its stop words

TAKE_TURNS = """
CREATE FUNCTION knowledge_take_turns(organizations uuid[]) RETURNS void LANGUAGE sql AS $body$
    SELECT pg_advisory_xact_lock(hashtext('knowledge terms'), hashtext(id::text))
      FROM (SELECT DISTINCT unnest(organizations) AS id ORDER BY 1) AS each
$body$;
COMMENT ON FUNCTION knowledge_take_turns(uuid[]) IS
    'Waits until no other transaction writes chunks of these organizations, and keeps others waiting until this ends.';
"""

DIMENSION = f"""
CREATE FUNCTION knowledge_dimension(lexeme text) RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $body$
    SELECT (hashtext(lexeme) & {DIMENSIONS - 1}) + 1
$body$;
COMMENT ON FUNCTION knowledge_dimension(text) IS
    'The dimension of a lexeme in term vectors, from 1. Of 100,000 lexemes some ten pairs share one.';
"""

TERM_WEIGHTS = f"""
CREATE FUNCTION knowledge_term_weights(lexemes tsvector) RETURNS sparsevec
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $body$
    WITH terms AS (
        SELECT knowledge_dimension(lexeme) AS dimension, coalesce(cardinality(positions), 1) AS frequency
          FROM unnest(lexemes)
    ), weights AS (
        SELECT dimension, sum(frequency) * {K1 + 1} / (sum(frequency) + {K1} * (
                   {1 - B} + {B} * (SELECT sum(frequency) FROM terms) / {USUAL_LENGTH})) AS weight
          FROM terms GROUP BY dimension
    )
    SELECT concat('{{', string_agg(concat(dimension, ':', weight::real), ','), '}}/{DIMENSIONS}')::sparsevec
      FROM weights
$body$;
COMMENT ON FUNCTION knowledge_term_weights(tsvector) IS
    'What each lexeme counts for by BM25, before it is weighted by how rare it is.';
"""

TERM_KEYS = """
CREATE FUNCTION knowledge_term_keys(organization uuid, lexemes text[]) RETURNS bigint[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $body$
    SELECT array_agg(hashtextextended(lexeme, uuid_hash_extended(organization, 0))) FROM unnest(lexemes) AS lexeme
$body$;
COMMENT ON FUNCTION knowledge_term_keys(uuid, text[]) IS
    'What an organization''s lexemes are indexed by, so that finding them costs nothing for those of others.';
"""

KEEP_TERMS = """
CREATE FUNCTION knowledge_keep_terms() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO knowledge_termvector
               (organization_id, collection_id, document_id, chunk_id, language, lexemes, weights)
        SELECT organization_id, collection_id, document_id, id, language, strip(lexemes),
               knowledge_term_weights(lexemes)
          FROM changed;
    ELSE
        DELETE FROM knowledge_termvector USING changed WHERE chunk_id = changed.id;
        DELETE FROM knowledge_embedding USING changed WHERE chunk_id = changed.id;
    END IF;
    RETURN NULL;
END
$body$;
COMMENT ON FUNCTION knowledge_keep_terms() IS
    'Makes the term vectors of new chunks, and takes those and the embeddings of deleted chunks away.';
"""

_COUNTED = """
        SELECT organization_id, lexeme, language, count(*) AS chunks
          FROM changed
          CROSS JOIN LATERAL (SELECT '' UNION ALL SELECT unnest(tsvector_to_array(lexemes))) AS each (lexeme)
         GROUP BY 1, 2, 3
"""

COUNT_TERMS = f"""
CREATE FUNCTION knowledge_count_terms() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM knowledge_documentfrequency;
        RETURN NULL;
    END IF;
    PERFORM knowledge_take_turns(ARRAY(SELECT DISTINCT organization_id FROM changed));
    IF TG_OP = 'INSERT' THEN
        INSERT INTO knowledge_documentfrequency AS stored (organization_id, lexeme, language, chunks)
        {_COUNTED}
        ON CONFLICT (organization_id, lexeme, language) DO UPDATE SET chunks = stored.chunks + EXCLUDED.chunks;
    ELSE
        -- Not one statement for both: what falls to zero can't be deleted by the statement that lowers it.
        UPDATE knowledge_documentfrequency AS stored SET chunks = stored.chunks - gone.chunks
          FROM ({_COUNTED}) AS gone
         WHERE (stored.organization_id, stored.lexeme, stored.language)
               = (gone.organization_id, gone.lexeme, gone.language);
        DELETE FROM knowledge_documentfrequency AS stored
         USING ({_COUNTED}) AS gone
         WHERE (stored.organization_id, stored.lexeme, stored.language)
               = (gone.organization_id, gone.lexeme, gone.language)
           AND stored.chunks = 0;
    END IF;
    RETURN NULL;
END
$body$;
COMMENT ON FUNCTION knowledge_count_terms() IS
    'Keeps in how many chunks of an organization each lexeme stands.';
"""

ONLY_BY_TRIGGER = """
CREATE FUNCTION knowledge_only_by_trigger() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF pg_trigger_depth() = 1 THEN
        RAISE EXCEPTION '% is kept by triggers: % is refused', TG_TABLE_NAME, TG_OP
            USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = TG_TABLE_NAME || '_only_by_trigger';
    END IF;
    RETURN NULL;
END
$body$;
COMMENT ON FUNCTION knowledge_only_by_trigger() IS 'Refuses to write what triggers keep, but to triggers.';
"""

FILL_EMBEDDING = """
CREATE FUNCTION knowledge_fill_embedding() RETURNS trigger LANGUAGE plpgsql AS $body$
DECLARE
    dimensions int;
BEGIN
    SELECT organization_id, collection_id, document_id INTO NEW.organization_id, NEW.collection_id, NEW.document_id
      FROM knowledge_chunk WHERE id = NEW.chunk_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'chunk % doesn''t exist', NEW.chunk_id
            USING ERRCODE = 'foreign_key_violation', TABLE = TG_TABLE_NAME, COLUMN = 'chunk_id',
                  CONSTRAINT = 'knowledge_embedding_chunk';
    END IF;
    SELECT vector_dims(vector) INTO dimensions FROM knowledge_embedding
     WHERE organization_id = NEW.organization_id AND model = NEW.model LIMIT 1;
    IF NOT FOUND THEN
        -- Those who write the first ones take turns, and look again what the one before them wrote.
        PERFORM pg_advisory_xact_lock(
            hashtext('knowledge embedding'), hashtext(concat(NEW.organization_id, ' ', NEW.model)));
        SELECT vector_dims(vector) INTO dimensions FROM knowledge_embedding
         WHERE organization_id = NEW.organization_id AND model = NEW.model LIMIT 1;
    END IF;
    IF dimensions <> vector_dims(NEW.vector) THEN
        RAISE EXCEPTION '"vector" has % dimensions; the others of % have %',
            vector_dims(NEW.vector), NEW.model, dimensions
            USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, COLUMN = 'vector',
                  CONSTRAINT = 'knowledge_embedding_same_dimensions';
    END IF;
    RETURN NEW;
END
$body$;
COMMENT ON FUNCTION knowledge_fill_embedding() IS
    'Copies from the chunk where an embedding belongs, and keeps the vectors of a model of one length.';
"""

KEEP_SEARCH_MODEL = """
CREATE FUNCTION knowledge_keep_search_model() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF NEW.search_model = '' THEN
        NEW.search_model := NEW.embedding_model;
    END IF;
    IF TG_OP = 'INSERT' OR NEW.search_model = OLD.search_model AND NEW.embedding_model = OLD.embedding_model THEN
        RETURN NEW;
    END IF;
    -- With nothing to find, there is nothing to wait for.
    IF NOT EXISTS (SELECT FROM knowledge_chunk WHERE collection_id = NEW.id) THEN
        NEW.search_model := NEW.embedding_model;
    END IF;
    IF NEW.search_model <> OLD.search_model AND (
        NEW.search_model <> NEW.embedding_model
        OR EXISTS (
            SELECT FROM knowledge_chunk AS chunk WHERE collection_id = NEW.id AND NOT EXISTS (
                SELECT FROM knowledge_embedding WHERE chunk_id = chunk.id AND model = NEW.search_model)
        )
    ) THEN
        RAISE EXCEPTION '"search_model" moves only to "embedding_model", once every chunk has a vector of it'
            USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, COLUMN = 'search_model',
                  CONSTRAINT = 'knowledge_collection_search_model_whole';
    END IF;
    RETURN NEW;
END
$body$;
COMMENT ON FUNCTION knowledge_keep_search_model() IS
    'Keeps a collection searched by vectors that all its chunks have.';
"""

OPERATIONS = [
    make("knowledge_take_turns", TAKE_TURNS),
    make("knowledge_dimension", DIMENSION),
    make("knowledge_term_weights", TERM_WEIGHTS),
    make("knowledge_term_keys", TERM_KEYS),
    make("knowledge_keep_terms", KEEP_TERMS),
    make("knowledge_count_terms", COUNT_TERMS),
    make("knowledge_only_by_trigger", ONLY_BY_TRIGGER),
    make("knowledge_fill_embedding", FILL_EMBEDDING),
    make("knowledge_keep_search_model", KEEP_SEARCH_MODEL),
]
