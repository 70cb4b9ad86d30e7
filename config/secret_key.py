"""The secret key of an installation that wasn't given one: made once, then kept."""

import os
import secrets
from pathlib import Path

from config import env
from config.variables import ConfigurationError


def unusable_folder(data_dir: Path, error: OSError) -> ConfigurationError:
    """The error that says that `data_dir` can't hold Muster's data, and what to do about it."""
    reason = (error.strerror or str(error)).lower()
    return ConfigurationError(
        env.DATA_DIR.name,
        f"{str(data_dir)!r} ({reason})",
        "a folder that this user may write: give it to this user (chown), or set DATA_DIR to another one",
    )


def kept_secret_key(data_dir: Path) -> str:
    """The secret key kept in `data_dir`, made at the first call; only its owner may read it.

    Raises:
        ConfigurationError: `data_dir` can't be made, read or written.
    """
    path = data_dir / "secret_key"
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _make(path)
        return path.read_text().strip()
    except OSError as error:
        raise unusable_folder(data_dir, error) from error


def _make(path: Path) -> None:
    """Write a new key to `path`, whole or not at all, and leave one that another process wrote first."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(50) + "\n")
        # A link, unlike a rename, doesn't replace what is there.
        path.hardlink_to(draft)
    except FileExistsError:
        return
    finally:
        draft.unlink()
