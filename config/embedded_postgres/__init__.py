"""A database backend that brings its own PostgreSQL, for a machine on which none is configured.

`base` is the backend; on its first connection it asks `server` for a running server. `server` starts a
`keeper`, a small process that starts PostgreSQL and stops it when nobody uses it any more; `account` says as
whom, because PostgreSQL refuses to run as root. Processes agree through three lock files in the data folder:

- `start.lock`, held exclusively while a server starts or stops;
- `users.lock`, held shared by every process that uses the server, for as long as it lives;
- `keeper.lock`, held exclusively by the keeper.

The kernel drops a lock when its holder ends, however it ends, so nothing here trusts a list of process ids
that a `kill -9` would leave behind.
"""
