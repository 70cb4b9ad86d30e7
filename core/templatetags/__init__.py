"""core's template tags."""
