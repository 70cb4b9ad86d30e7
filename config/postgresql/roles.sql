-- What only a superuser can do for a new database, by psql, before the owner migrates: the owner and the serving role,
-- with the passwords that the environment has, and the extension that PostgreSQL doesn't trust owners to make.
-- Rights come later, by `manage.py roles`.

\getenv owner MUSTER_OWNER_PASSWORD
\getenv serving MUSTER_SERVING_PASSWORD
CREATE ROLE muster_owner LOGIN PASSWORD :'owner';
CREATE ROLE muster_serving LOGIN PASSWORD :'serving';
ALTER DATABASE :"DBNAME" OWNER TO muster_owner;
CREATE EXTENSION IF NOT EXISTS vector;
