"""What writes more than one row of agents: keyword-only functions, one transaction each."""
