"""What goes wrong with backups."""


class BackupError(Exception):
    """A backup can't be made, read or restored. The message is for people, and says why."""
