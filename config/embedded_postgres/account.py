"""As whom PostgreSQL runs: as this user, or, because it refuses root, as a system user of its own."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SYSTEM_USER = "embedded_postgres"

# Linux's numbers of the capabilities that pass over the permissions of folders, the weaker one first.
_CAPABILITIES = {"dac_read_search": 2, "dac_override": 1}


class AccountError(Exception):
    """PostgreSQL can't be run as anybody here. The message is one line that says what to do."""


@dataclass(frozen=True)
class Account:
    """Who runs PostgreSQL.

    Args:
        uid: the user's number; None: who we are.
        gid: the number of its group.
        prefix: the command that must stand before one that is to be run as this user.
    """

    uid: int | None = None
    gid: int | None = None
    prefix: tuple[str, ...] = ()

    def own(self, path: Path) -> None:
        """Make the user the owner of `path`."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)


def choose(data: Path, *, postgres: Path) -> Account:
    """Who runs PostgreSQL on the data folder `data`.

    Args:
        data: the data folder, which need not exist, as its parent must; one that does keeps its owner.
        postgres: the server's program, which the user must be able to run.

    Raises:
        AccountError: we are root, and there is no user whom we could run it as.
    """
    if os.geteuid() != 0:
        return Account()
    owner = data.stat().st_uid if data.exists() else 0
    uid, gid = _ids(owner) if owner else _ids_of_system_user()
    switch = ("setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups")
    if shutil.which("setpriv") is None:
        raise AccountError("running PostgreSQL as root needs the command setpriv (package util-linux)")
    if _reaches(switch, data.parent, postgres):
        return Account(uid, gid, switch)
    # A folder above is closed to the user, as /root is. Opening it would be an outsider's meddling; one
    # capability lets the server, and nobody else, pass.
    for name in _held_capabilities():
        passing = (*switch, f"--inh-caps=+{name}", f"--ambient-caps=+{name}")
        if _reaches(passing, data.parent, postgres):
            return Account(uid, gid, passing)
    raise AccountError(
        f"the user {pwd.getpwuid(uid).pw_name}, as whom root runs PostgreSQL, can't reach {data.parent}"
        f" or can't run {postgres}: open the folders above them to others (chmod o+x),"
        " or run Muster as another user than root"
    )


def _ids(uid: int) -> tuple[int, int]:
    """The numbers of the user `uid` and of its group; a user unknown here has a group of the same number."""
    try:
        return uid, pwd.getpwuid(uid).pw_gid
    except KeyError:
        return uid, uid


def _ids_of_system_user() -> tuple[int, int]:
    """The numbers of SYSTEM_USER and its group, made if need be, because initdb wants a user with a name."""
    try:
        entry = pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER]
        try:
            subprocess.run(command, check=True, capture_output=True)  # noqa: S603 (no text from outside)
        except (OSError, subprocess.CalledProcessError) as error:
            raise AccountError(
                f"PostgreSQL refuses to run as root, and its user can't be made: run `{' '.join(command)}`,"
                " or run Muster as another user than root"
            ) from error
        entry = pwd.getpwnam(SYSTEM_USER)
    return entry.pw_uid, entry.pw_gid


def _reaches(prefix: Sequence[str], folder: Path, program: Path) -> bool:
    """Whether a command behind `prefix` finds `folder` and can run `program`, with the libraries it needs."""

    def succeeds(*command: str) -> bool:
        run = subprocess.run([*prefix, *command], capture_output=True)  # noqa: S603 (our own arguments)
        return run.returncode == 0

    return succeeds("ls", "-d", "--", str(folder)) and succeeds(str(program), "--version")


def _held_capabilities() -> list[str]:
    """Which of _CAPABILITIES this process has; none where the system isn't Linux."""
    status = Path("/proc/self/status")
    if not status.exists():
        return []
    fields = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
    held = int(fields["CapEff"], 16) & int(fields["CapBnd"], 16)
    return [name for name, number in _CAPABILITIES.items() if held >> number & 1]
