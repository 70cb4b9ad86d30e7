"""Knowledge's larger statements, and the functions of its triggers."""
