"""The project: its settings, its addresses, and the way to its database."""
