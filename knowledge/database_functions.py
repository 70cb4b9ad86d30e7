"""The PL/pgSQL functions of knowledge's triggers and generated columns, which the first migration makes."""

from pgvector.django import VectorExtension

from core.database_functions import make
from knowledge.sql import search, terms, words

CONFIGURATION = """
CREATE FUNCTION knowledge_configuration(language text) RETURNS regconfig
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $body$
    SELECT CASE language
        WHEN 'en' THEN 'pg_catalog.english'::regconfig
        WHEN 'ar' THEN 'pg_catalog.arabic'::regconfig
        WHEN 'hy' THEN 'pg_catalog.armenian'::regconfig
        WHEN 'eu' THEN 'pg_catalog.basque'::regconfig
        WHEN 'ca' THEN 'pg_catalog.catalan'::regconfig
        WHEN 'da' THEN 'pg_catalog.danish'::regconfig
        WHEN 'nl' THEN 'pg_catalog.dutch'::regconfig
        WHEN 'fi' THEN 'pg_catalog.finnish'::regconfig
        WHEN 'fr' THEN 'pg_catalog.french'::regconfig
        WHEN 'de' THEN 'pg_catalog.german'::regconfig
        WHEN 'el' THEN 'pg_catalog.greek'::regconfig
        WHEN 'hi' THEN 'pg_catalog.hindi'::regconfig
        WHEN 'hu' THEN 'pg_catalog.hungarian'::regconfig
        WHEN 'id' THEN 'pg_catalog.indonesian'::regconfig
        WHEN 'ga' THEN 'pg_catalog.irish'::regconfig
        WHEN 'it' THEN 'pg_catalog.italian'::regconfig
        WHEN 'lt' THEN 'pg_catalog.lithuanian'::regconfig
        WHEN 'ne' THEN 'pg_catalog.nepali'::regconfig
        WHEN 'no' THEN 'pg_catalog.norwegian'::regconfig
        WHEN 'pt' THEN 'pg_catalog.portuguese'::regconfig
        WHEN 'ro' THEN 'pg_catalog.romanian'::regconfig
        WHEN 'ru' THEN 'pg_catalog.russian'::regconfig
        WHEN 'sr' THEN 'pg_catalog.serbian'::regconfig
        WHEN 'es' THEN 'pg_catalog.spanish'::regconfig
        WHEN 'sv' THEN 'pg_catalog.swedish'::regconfig
        WHEN 'ta' THEN 'pg_catalog.tamil'::regconfig
        WHEN 'tr' THEN 'pg_catalog.turkish'::regconfig
        WHEN 'yi' THEN 'pg_catalog.yiddish'::regconfig
        ELSE 'pg_catalog.simple'::regconfig
    END
$body$;
COMMENT ON FUNCTION knowledge_configuration(text) IS 'The text search configuration of a language code.';
"""

KEEP_DOCUMENT = """
CREATE FUNCTION knowledge_keep_document() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    -- Only knowledge_count_chunks moves the count, from within its trigger; what others write gives way.
    IF TG_OP = 'INSERT' OR (pg_trigger_depth() = 1 AND NEW.chunk_count <> OLD.chunk_count) THEN
        SELECT count(*) INTO NEW.chunk_count FROM knowledge_chunk WHERE document_id = NEW.id;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        IF NEW.version <> OLD.version + (NEW.content_hash <> OLD.content_hash)::int THEN
            RAISE EXCEPTION '"version" rises by one with each new content, and only then'
                USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, COLUMN = 'version',
                      CONSTRAINT = 'knowledge_document_version_next';
        END IF;
        IF NEW.deleted_at IS NOT NULL AND OLD.deleted_at IS NULL THEN
            NEW.indexed_version := 0;
            NEW.lease_token := NULL;
            NEW.lease_expires_at := NULL;
            -- What it is once restored: it has no chunks any more, whatever became of it before.
            NEW.status := 'pending';
            NEW.error := '';
            NEW.attempts := 0;
        END IF;
    END IF;
    RETURN NEW;
END
$body$;
COMMENT ON FUNCTION knowledge_keep_document() IS
    'Keeps a document''s count of chunks true and its versions in order, and lets a deleted one wait for its return.';
"""

DROP_CHUNKS = """
CREATE FUNCTION knowledge_drop_chunks() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    DELETE FROM knowledge_chunk WHERE document_id = NEW.id;
    RETURN NULL;
END
$body$;
COMMENT ON FUNCTION knowledge_drop_chunks() IS 'Takes the chunks of a document that is deleted softly out of search.';
"""

COUNT_CHUNKS = """
CREATE FUNCTION knowledge_count_chunks() RETURNS trigger LANGUAGE plpgsql AS $body$
DECLARE
    sign int := CASE TG_OP WHEN 'INSERT' THEN 1 ELSE -1 END;
BEGIN
    UPDATE knowledge_document AS document SET chunk_count = document.chunk_count + sign * counted.chunks
      FROM (SELECT document_id, count(*)::int AS chunks FROM changed GROUP BY document_id) AS counted
     WHERE document.id = counted.document_id;
    RETURN NULL;
END
$body$;
COMMENT ON FUNCTION knowledge_count_chunks() IS 'Keeps the count of a document''s chunks equal to what counting says.';
"""

OPERATIONS = [
    VectorExtension(),
    make("knowledge_configuration", CONFIGURATION),
    *words.OPERATIONS,
    make("knowledge_keep_document", KEEP_DOCUMENT),
    make("knowledge_drop_chunks", DROP_CHUNKS),
    make("knowledge_count_chunks", COUNT_CHUNKS),
    *terms.OPERATIONS,
    *search.OPERATIONS,
]
