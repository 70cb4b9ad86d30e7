"""What catalog makes of what other companies' services tell."""
