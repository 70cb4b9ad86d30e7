"""Admin pages of knowledge's records."""
