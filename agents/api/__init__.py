"""Endpoints of agents."""
