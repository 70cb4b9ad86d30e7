"""Backups: a database at one moment and the stored files, in one file; and the proof that they come back the same.

A backup is a ZIP file: ``database.dump`` (PostgreSQL's custom format), ``media/…`` (every file of the storage) and
``manifest.json``, which says what the database held: each table's rows and a digest of them, sequences, and a digest
of each definition (columns, constraints, indexes, triggers, functions …). Dump and digests are of one snapshot.

What isn't in it: the rows of unlogged tables, which a crash of PostgreSQL would empty too; roles and privileges
(``manage.py roles`` makes them); keys and other variables of the environment. The queue of jobs is in it, since a job
is a promise made together with a change.

Modules: ``place`` (how a database is reached, and by which programs), ``contents`` (what it holds), ``archive`` (the
file), ``files`` (the storage), ``databases`` (made, dropped and exchanged), ``making``, ``restoring``, ``drill``.
"""

from core.backup.drill import drill
from core.backup.errors import BackupError
from core.backup.making import back_up
from core.backup.place import Place, configured
from core.backup.restoring import restore

__all__ = ["BackupError", "Place", "back_up", "configured", "drill", "restore"]
