"""The database backend for every PostgreSQL server, and the base of the embedded one."""
