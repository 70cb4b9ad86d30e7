"""Other companies' services: what each is configured by, whether it answers, what it is told and what it tells."""
