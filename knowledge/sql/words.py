"""The functions that take texts apart into words, those of passages and those of questions alike.

PostgreSQL's own parser takes what looks like a host, a path or a tag as one word or as none, and what a letter is
depends on how a database was made: with the locale C, a quotation mark beyond ASCII is one. So it is given words
between blanks, in lower case and compatibility form (Unicode Standard Annex 15), and nothing else.
"""

from core.database_functions import make
from knowledge.extraction.base import PAGE

# Unicode's blanks, punctuation, symbols and private characters; but joiners, which some writings need within words.
_APART = (
    r"\u0001-\u002f\u003a-\u0040\u005b-\u0060\u007b-\u00a9\u00ab-\u00b1\u00b4\u00b6-\u00b8\u00bb-\u00bf\u00d7\u00f7"
    r"\u02c2-\u02c5\u02d2-\u02df\u037e\u0387\u055a-\u055f\u0589\u058a\u05be\u05c0\u05c3\u05c6\u060c\u060d\u061b-\u061f"
    r"\u066a-\u066d\u06d4\u0964\u0965\u0970\u0e3f\u0e4f\u0e5a\u0e5b\u2000-\u200b\u200e-\u206f\u20a0-\u20cf\u2103\u2109"
    r"\u2116\u2117\u2120-\u2122\u2190-\u245f\u2500-\u2bff\u2e00-\u2e7f\u3000-\u3004\u3008-\u3020\u3030\u3036\u3037"
    r"\u303d-\u303f\u30a0\u30fb\ue000-\uf8ff\ufd3e\ufd3f\ufe10-\ufe1f\ufe30-\ufe6f\ufeff\uff01-\uff0f\uff1a-\uff20"
    r"\uff3b-\uff40\uff5b-\uff65\uffe0-\uffee\U0001f000-\U0001faff"
)
# Han, Hiragana and Katakana, which are written without blanks.
_UNSPACED = r"[\u3040-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+"
_LONGEST = 100  # characters of a compound

# Before PostgreSQL 17, no collation of its own knows letters beyond ASCII. The capital I with a dot is the one letter
# that may become two.
LOWER = r"""
DO $do$ BEGIN
    EXECUTE format($sql$
        CREATE FUNCTION knowledge_lower(body text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
        BEGIN ATOMIC
            SELECT lower(translate(body, U&'\0130', 'i') COLLATE pg_catalog.%I);
        END
    $sql$, CASE WHEN current_setting('server_version_num')::int >= 170000 THEN 'pg_c_utf8' ELSE 'und-x-icu' END);
END $do$;
COMMENT ON FUNCTION knowledge_lower(text) IS 'A text in lower case, as long as it was, whatever the locale.';
"""

BLANKED = rf"""
CREATE FUNCTION knowledge_blanked(body text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
-- Parsed now: a dump is restored without a search path, where a text would find no function of ours.
BEGIN ATOMIC
    SELECT regexp_replace(knowledge_lower(body) COLLATE "C", '[{_APART}]', ' ', 'g');
END;
COMMENT ON FUNCTION knowledge_blanked(text) IS
    'A text in lower case, with a blank for each character that belongs to no word: as long as it was.';
"""

WORDS = rf"""
CREATE FUNCTION knowledge_words(body text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN plain ~ '{_UNSPACED}' THEN concat_ws(' ', regexp_replace(plain, '{_UNSPACED}', ' ', 'g'), (
               SELECT string_agg(substr(run[1], place, 2), ' ')
                 FROM regexp_matches(plain, '{_UNSPACED}', 'g') AS run
                CROSS JOIN generate_series(1, greatest(length(run[1]) - 1, 1)) AS place
           )) ELSE plain END
      -- Soft hyphens and joiners, which are written in words and don't belong to them.
      FROM (SELECT normalize(knowledge_blanked(translate(body, U&'\00AD\200C\200D\2060\FEFF', '')), NFKC)
                   COLLATE "C") AS each (plain);
END;
COMMENT ON FUNCTION knowledge_words(text) IS
    'The words of a text between blanks; of writing without blanks, each two characters that stand together.';
"""

COMPOUNDS = rf"""
CREATE FUNCTION knowledge_compounds(body text) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT array_agg(DISTINCT form)
      FROM regexp_matches(knowledge_lower(body) COLLATE "C",
               '[^{_APART}]+(?:[._&-][^{_APART}]+)+|[^{_APART}]+[+#]+(?![^{_APART}]|[+#])', 'g') AS found
     CROSS JOIN unnest(ARRAY[found[1], substring(found[1] FROM '^v([0-9].*)')]) AS form
     WHERE length(form) <= {_LONGEST};
END;
COMMENT ON FUNCTION knowledge_compounds(text) IS
    'What a text writes as one out of several words: names of files and functions, versions, C++, AT&T.';
"""

# The heading of a page is left out: nobody looks for the word, and it would stand in each passage of a PDF.
LEXEMES = f"""
CREATE FUNCTION knowledge_lexemes(language text, headings text[], body text) RETURNS tsvector
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT to_tsvector(knowledge_configuration(language), knowledge_words(whole))
           || coalesce(array_to_tsvector(knowledge_compounds(whole)), '')
      FROM (SELECT concat_ws(E'\\n', array_to_string(named, E'\\n'), body)
              FROM (SELECT CASE WHEN headings[cardinality(headings)] ~ '^{PAGE} [0-9]+$'
                                THEN trim_array(headings, 1) ELSE headings END) AS above (named)) AS each (whole);
END;
COMMENT ON FUNCTION knowledge_lexemes(text, text[], text) IS
    'The stems of a passage and its headings but the page, by the rules of its language; the compounds as they are.';
"""

OPERATIONS = [
    make("knowledge_lower", LOWER),
    make("knowledge_blanked", BLANKED),
    make("knowledge_words", WORDS),
    make("knowledge_compounds", COMPOUNDS),
    make("knowledge_lexemes", LEXEMES),
]
