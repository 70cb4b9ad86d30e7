"""Who works and what they did: roster, work, projects, evidence."""
