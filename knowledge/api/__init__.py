"""Endpoints of knowledge."""
