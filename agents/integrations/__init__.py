"""What agents makes of what other companies' services tell."""
