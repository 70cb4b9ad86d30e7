"""What writes more than one row of knowledge: keyword-only functions, one transaction each."""
