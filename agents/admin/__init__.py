"""The admin of agents."""
