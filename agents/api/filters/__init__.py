"""Filters of agents' records, a module a subject."""
