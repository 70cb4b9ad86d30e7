"""The statement that searches.

It is one, made of parts: what the question's words weigh, the best of each side, the union of both scored exactly,
and what is shown of each hit. Values go by parameters; the parts are constants of this module.

Parameters: ``organization``, ``query`` (the question's text), ``sources`` (ids of collections), ``weights`` and
``models`` (of each, in the same order), ``models_once`` and ``vectors`` (each model, and the question's vector by it;
the models also as ``model_0`` and so on), ``created_after``, ``created_before``, ``metadata``, ``share`` (of the
organization's chunks, how many are searched), ``budget``, ``side`` (how many candidates of each side), ``limit``,
``neighbours``, ``start`` and ``stop`` (what surrounds a matched word).
"""

from collections.abc import Iterable

from core.database_functions import make
from knowledge.sql.terms import DIMENSIONS

# The collections, and with each how large the organization and the table of vectors are.
SOURCES = """
    SELECT id, search_model, hybrid_weight,
           (SELECT coalesce(sum(chunks), 0)::float8 FROM knowledge_documentfrequency
             WHERE organization_id = %(organization)s AND lexeme = ''),
           (SELECT greatest(reltuples, 0) FROM pg_class WHERE oid = 'knowledge_embedding'::regclass)
      FROM knowledge_collection
     WHERE organization_id = %(organization)s ORDER BY id
"""

# For the transaction. Without iterative scans, HNSW looks at the nearest of all organizations, and then finds that few
# of them are this one's.
BY_INDEX = "SELECT set_config('hnsw.iterative_scan', 'relaxed_order', true), set_config('hnsw.ef_search', '100', true)"

EXTENT_OF_SOME = """
    SELECT coalesce(sum(chunk_count), 0) FROM knowledge_document AS document
     WHERE organization_id = %(organization)s AND deleted_at IS NULL AND collection_id = ANY (%(sources)s)
"""

IN_DOCUMENTS = {
    "metadata": "document.metadata @> %(metadata)s",
    "created_after": "document.created_at >= %(created_after)s",
    "created_before": "document.created_at < %(created_before)s",
}

_WORDS = f"""
    languages AS (
        SELECT language, chunks FROM knowledge_documentfrequency
         WHERE organization_id = %(organization)s AND lexeme = ''
    ), asked AS MATERIALIZED (
        -- The question's words, as each language that the organization has documents of would store them. SELECT keeps
        -- them from being worked out while planning, which then would seem to be worth doing each time.
        SELECT word, language, languages.chunks AS everywhere, lexeme
          FROM (SELECT DISTINCT unnest(string_to_array(knowledge_words((SELECT %(query)s)), ' ')), true
                UNION ALL SELECT unnest(knowledge_compounds((SELECT %(query)s))), false) AS words (word, is_plain)
         CROSS JOIN languages
          LEFT JOIN LATERAL unnest(CASE WHEN is_plain
                    THEN tsvector_to_array(to_tsvector(knowledge_configuration(language), word))
                    ELSE ARRAY[word] END) AS lexeme ON true
         WHERE word <> ''
    ), known AS (
        -- A word that a language doesn't store, such as “the”, counts as one that stands everywhere in it. Else it
        -- would seem rare, and outweigh all others, where a few documents are in a language that does store it.
        SELECT asked.lexeme, stored.chunks IS NOT NULL AS is_stored,
               sum(CASE WHEN asked.lexeme IS NULL THEN everywhere ELSE coalesce(stored.chunks, 0) END)
                   OVER (PARTITION BY word) AS frequency
          FROM asked
          LEFT JOIN knowledge_documentfrequency AS stored
            ON stored.organization_id = %(organization)s AND stored.lexeme = asked.lexeme
           AND stored.language = asked.language
    ), words AS MATERIALIZED (
        SELECT lexeme, max(frequency) AS frequency,
               ln(1 + ((SELECT sum(chunks) FROM languages) - max(frequency) + 0.5) / (max(frequency) + 0.5)) AS rarity
          FROM known WHERE is_stored GROUP BY lexeme
    ), rare AS (
        -- The rarest word in any case, and of the others as many as bring no more than the budget of chunks.
        SELECT lexeme
          FROM (SELECT lexeme, row_number() OVER each AS place, sum(frequency) OVER each AS chunks
                  FROM words WINDOW each AS (ORDER BY frequency, lexeme)) AS counted
         WHERE place = 1 OR chunks * %(share)s <= %(budget)s
    ), question AS MATERIALIZED (
        SELECT (SELECT knowledge_term_keys(%(organization)s, array_agg(lexeme)) FROM rare) AS candidates,
               (SELECT string_agg(knowledge_query_word(lexeme), '|')::tsquery FROM words) AS marks,
               (SELECT concat('{{', string_agg(concat(dimension, ':', rarity::real), ','), '}}/{DIMENSIONS}')::sparsevec
                  FROM (SELECT knowledge_dimension(lexeme) AS dimension, sum(rarity) AS rarity
                          FROM words GROUP BY 1) AS each) AS weights
    )"""

_SOURCES = """
    sources AS MATERIALIZED (
        SELECT source.id, source.weight, source.model, asked.vector::halfvec AS vector
          FROM unnest(%(sources)s::uuid[], %(weights)s::float8[], %(models)s::text[]) AS source (id, weight, model)
          LEFT JOIN unnest(%(models_once)s::text[], %(vectors)s::text[]) AS asked (model, vector) USING (model)
    )"""

# The keys say whose chunks they are but for a hash's collision. IS TRUE keeps PostgreSQL from reading an index of all
# the organization's chunks beside them.
_BY_WORDS = """
    by_words AS MATERIALIZED (
        SELECT chunk_id
          FROM knowledge_termvector AS candidate
         WHERE knowledge_term_keys(organization_id, tsvector_to_array(lexemes)) && (SELECT candidates FROM question)
           AND (organization_id = %(organization)s) IS TRUE {scope}
         ORDER BY weights <#> (SELECT weights FROM question), chunk_id
         LIMIT %(side)s
    )"""

# The sum keeps PostgreSQL from the index, whose order it isn't.
_EXACTLY = """
        (SELECT chunk_id FROM knowledge_embedding AS candidate
          WHERE organization_id = %(organization)s AND model = %({name})s {scope}
          ORDER BY (vector <#> (SELECT vector FROM sources WHERE model = %({name})s LIMIT 1)) + 0, chunk_id
          LIMIT %(side)s)"""
_BY_INDEX = """
        (SELECT chunk_id FROM knowledge_embedding AS candidate
          WHERE organization_id = %(organization)s AND model = %({name})s {scope}
          ORDER BY vector::halfvec({dimensions})
                   <#> (SELECT vector::halfvec({dimensions}) FROM sources WHERE model = %({name})s LIMIT 1)
          LIMIT %(side)s)"""

_SCORED = """
    scored AS MATERIALIZED (
        SELECT term.chunk_id, term.document_id, source.weight, source.model,
               -(term.weights <#> (SELECT weights FROM question)) AS text_score,
               -(embedding.vector <#> source.vector) AS vector_score
          FROM ({candidates}) AS candidate
          JOIN knowledge_termvector AS term USING (chunk_id)
          JOIN sources AS source ON source.id = term.collection_id
          LEFT JOIN knowledge_embedding AS embedding
            ON embedding.chunk_id = term.chunk_id AND embedding.model = source.model AND source.vector IS NOT NULL
         WHERE term.organization_id = %(organization)s
    ), scaled AS (
        SELECT scored.*,
               CASE WHEN text_score > 0 THEN rank() OVER (ORDER BY text_score DESC) END AS text_rank,
               CASE WHEN vector_score IS NOT NULL THEN rank() OVER (ORDER BY vector_score DESC NULLS LAST) END
                   AS vector_rank,
               coalesce((text_score - min(text_score) OVER whole) / nullif(
                   max(text_score) OVER whole - min(text_score) OVER whole, 0), (text_score > 0)::int) AS text_part,
               -- What is near by one model may be far by another, so that each is scaled by itself.
               coalesce((vector_score - min(vector_score) OVER alike) / nullif(
                   max(vector_score) OVER alike - min(vector_score) OVER alike, 0), (vector_score IS NOT NULL)::int)
                   AS vector_part
          FROM scored WINDOW whole AS (), alike AS (PARTITION BY model)
    ), best AS MATERIALIZED (
        SELECT *, {score} AS score FROM scaled WHERE {found}
         ORDER BY score DESC, chunk_id LIMIT %(limit)s
    )"""

SCORES = {
    "hybrid": ("weight * vector_part + (1 - weight) * text_part", "true"),
    "vector": ("vector_score", "vector_score IS NOT NULL"),
    "text": ("text_score", "text_score > 0"),
}

_SHOWN = """
SELECT best.score, best.text_score, best.text_rank, best.text_part, best.vector_score, best.vector_rank,
       best.vector_part,
       chunk.id, chunk.position, chunk.heading_path, chunk.char_start, chunk.char_end, chunk.text,
       -- Marked where it is as long as the text itself, so that the marks' places are known.
       coalesce(CASE WHEN best.text_score > 0 THEN ts_headline(
           knowledge_configuration(chunk.language), knowledge_blanked(chunk.text), (SELECT marks FROM question),
           format('HighlightAll=true, StartSel=%%s, StopSel=%%s', %(start)s::text, %(stop)s::text)) END, ''),
       chunk.collection_id, document.id, document.document_id, document.title, document.source_uri,
       document.indexed_version, document.metadata, document.created_at,
       (SELECT coalesce(jsonb_agg(jsonb_build_object('id', near.id, 'position', near.position, 'text', near.text)
                                  ORDER BY near.position), '[]')
          FROM knowledge_chunk AS near
         WHERE near.document_id = chunk.document_id AND near.position <> chunk.position
           AND near.position BETWEEN chunk.position - %(neighbours)s AND chunk.position + %(neighbours)s)
  FROM best
  JOIN knowledge_chunk AS chunk ON chunk.id = best.chunk_id
  JOIN knowledge_document AS document ON document.id = best.document_id
 ORDER BY best.score DESC, best.chunk_id
"""

COLUMNS = (
    "score",
    "text_score",
    "text_rank",
    "text_part",
    "vector_score",
    "vector_rank",
    "vector_part",
    "chunk",
    "position",
    "heading_path",
    "char_start",
    "char_end",
    "text",
    "marked",
    "collection",
    "document",
    "document_id",
    "title",
    "source_uri",
    "version",
    "metadata",
    "created_at",
    "neighbours",
)

QUERY_WORD = r"""
CREATE FUNCTION knowledge_query_word(lexeme text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $body$
    SELECT '''' || replace(replace(lexeme, '\', '\\'), '''', '''''') || ''''
$body$;
COMMENT ON FUNCTION knowledge_query_word(text) IS 'A lexeme as it is written in a tsquery.';
"""


def scope(*, all_collections: bool, filters: Iterable[str]) -> str:
    """Return the conditions by which candidates are left out before ranking.

    Args:
        all_collections: whether every collection is searched, by one model.
        filters: which of the filters of documents are asked for.
    """
    parts = [] if all_collections else ["AND candidate.collection_id = ANY (%(sources)s)"]
    conditions = [IN_DOCUMENTS[name] for name in filters]
    if conditions:
        # IS TRUE keeps it a lookup, one a candidate: joined, the documents would upset the index's order.
        parts.append(
            "AND (candidate.document_id IN (SELECT document.id FROM knowledge_document AS document"
            " WHERE document.organization_id = %(organization)s AND document.deleted_at IS NULL"
            f" AND document.collection_id = ANY (%(sources)s) AND {' AND '.join(conditions)})) IS TRUE"
        )
    return " ".join(parts)


def extent(filters: Iterable[str]) -> str:
    """Return the statement that counts the chunks among which will be searched."""
    return EXTENT_OF_SOME + "".join(f" AND {IN_DOCUMENTS[name]}" for name in filters)


def statement(*, mode: str, scope: str, dimensions: list[int], by_index: bool) -> str:
    """Return the statement that searches.

    Args:
        mode: ``hybrid``, ``vector`` or ``text``.
        scope: the conditions on candidates, from `scope`.
        dimensions: of each model that the question has a vector of: parameters ``model_0`` and so on name them.
        by_index: whether to find vectors by an index instead of reading all.
    """
    parts, candidates = [_WORDS, _SOURCES], []
    if mode != "vector":
        parts.append(_BY_WORDS.format(scope=scope))
        candidates.append("SELECT chunk_id FROM by_words")
    if mode != "text":
        side = _BY_INDEX if by_index else _EXACTLY
        sides = [
            side.format(name=f"model_{number}", scope=scope, dimensions=length)
            for number, length in enumerate(dimensions)
        ]
        parts.append(f"\n    by_vectors AS MATERIALIZED ({' UNION ALL '.join(sides)})")
        candidates.append("SELECT chunk_id FROM by_vectors")
    score, found = SCORES[mode]
    if mode == "vector" and len(dimensions) > 1:
        score = "vector_part"
    parts.append(_SCORED.format(candidates=" UNION ".join(candidates), score=score, found=found))
    return f"WITH {','.join(parts)}{_SHOWN}"


OPERATIONS = [make("knowledge_query_word", QUERY_WORD)]
