"""The executions in which spans report what they consumed."""

from agents.sql.rows import HAS_USAGE_OF, LINK


def inside(table: str, rows: str, condition: str = "true") -> str:
    """Return the query of the executions in which ``rows``, of a kind and called n, report usage."""
    link, has_usage = LINK[table], HAS_USAGE_OF.get(table, "false").format(row="n")
    return f"SELECT DISTINCT n.{link} FROM {rows} WHERE n.{link} IS NOT NULL AND {has_usage} AND {condition}"
