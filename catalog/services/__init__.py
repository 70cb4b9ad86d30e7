"""What writes more than one row: keyword-only functions, one transaction each, no HTTP in them."""
