"""Endpoints of catalog's records."""
