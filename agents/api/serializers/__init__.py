"""Serializers of agents' records, a module a subject."""
