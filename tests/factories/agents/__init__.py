"""Factories of agents' records, a module a subject."""
