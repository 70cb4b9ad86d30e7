"""How a database's definitions are read: by kind, a query of names and of PostgreSQL's own words for each.

All but what an extension brings, since that is the extension's. The search path is empty, so names have a schema.
"""


def _ours(catalog: str, namespace: str, oid: str) -> str:
    """Return the condition that an object is in a schema of ours, and not an extension's."""
    return f"""{namespace} IN (SELECT oid FROM pg_namespace
                                WHERE nspname <> 'information_schema' AND nspname NOT LIKE 'pg\\_%')
        AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = '{catalog}'::regclass AND e.objid = {oid}
                                                  AND e.deptype = 'e')"""


_TABLE = _ours("pg_class", "c.relnamespace", "c.oid")

DEFINITIONS = {
    "extension": "SELECT extname, '' FROM pg_extension",
    "table": f"""
        SELECT c.oid::regclass::text,
               concat_ws(' ', c.relkind, c.relpersistence, c.relrowsecurity, c.relreplident, c.reloptions::text)
        FROM pg_class c WHERE c.relkind IN ('r', 'p', 'c') AND {_TABLE}""",
    "column": f"""
        SELECT concat(c.oid::regclass, '.', quote_ident(a.attname)),
               concat_ws(' ', format_type(a.atttypid, a.atttypmod), l.oid::regcollation, a.attidentity, a.attgenerated,
                         a.attnotnull, a.attstorage, a.attcompression, pg_get_expr(d.adbin, d.adrelid))
        FROM pg_class c
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        LEFT JOIN pg_collation l ON l.oid = a.attcollation
        WHERE c.relkind IN ('r', 'p', 'c') AND {_TABLE}""",
    # Without NOT NULL, which is the column's, and a constraint of its own only from version 18 on.
    "constraint": f"""
        SELECT concat(c.oid::regclass, '.', quote_ident(k.conname)), concat(pg_get_constraintdef(k.oid), k.convalidated)
        FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid WHERE k.contype <> 'n' AND {_TABLE}""",
    "index": f"""
        SELECT i.oid::regclass::text, concat(pg_get_indexdef(i.oid), x.indisvalid, x.indisready)
        FROM pg_index x JOIN pg_class c ON c.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid
        WHERE c.relkind IN ('r', 'p') AND {_TABLE}""",
    "trigger": f"""
        SELECT concat(c.oid::regclass, '.', quote_ident(t.tgname)),
               concat(pg_get_triggerdef(t.oid), t.tgenabled, obj_description(t.oid, 'pg_trigger'))
        FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE NOT t.tgisinternal AND {_TABLE}""",
    "function": f"""
        SELECT p.oid::regprocedure::text, concat(pg_get_functiondef(p.oid), obj_description(p.oid, 'pg_proc'))
        FROM pg_proc p WHERE p.prokind <> 'a' AND {_ours("pg_proc", "p.pronamespace", "p.oid")}""",
    "enumeration": f"""
        SELECT t.oid::regtype::text, (SELECT string_agg(quote_literal(v.enumlabel), ',' ORDER BY v.enumsortorder)
                                        FROM pg_enum v WHERE v.enumtypid = t.oid)
        FROM pg_type t WHERE t.typtype = 'e' AND {_ours("pg_type", "t.typnamespace", "t.oid")}""",
    "view": f"""
        SELECT c.oid::regclass::text, concat(c.relkind, pg_get_viewdef(c.oid))
        FROM pg_class c WHERE c.relkind IN ('v', 'm') AND {_TABLE}""",
    "sequence": f"""
        SELECT c.oid::regclass::text,
               concat_ws(' ', s.seqtypid::regtype, s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache,
                         s.seqcycle, pg_describe_object(o.refclassid, o.refobjid, o.refobjsubid))
        FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid
        LEFT JOIN pg_depend o ON o.classid = 'pg_class'::regclass AND o.objid = c.oid AND o.deptype IN ('a', 'i')
        WHERE {_TABLE}""",
}
