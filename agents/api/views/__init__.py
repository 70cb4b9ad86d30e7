"""Endpoints of agents' records, a module a subject."""
