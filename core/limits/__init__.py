"""How often is too often: requests by plan tier (``rates``), and logins that fail (``logins``).

An app of its own, since its rows belong to no organization: they are counts, not records.
"""
