"""The table of Muster's environment variables: the one place that names, reads and checks them.

`config.settings` reads its values from here, and `.env.example` and the documentation's table are
rendered from here, so that neither can tell of a variable that isn't there. To add one, declare it in the
module of its kind; to show the documents anew:

    python -m config.env example > .env.example
    python -m config.env markdown
"""

from pathlib import Path

import environ  # type: ignore[import-untyped]

from config.env import (
    application,
    connections,
    database,
    documents,
    embedding,
    files,
    limits,
    monitoring,
    serving,
    work,
)
from config.env.application import *  # noqa: F403
from config.env.connections import *  # noqa: F403
from config.env.database import *  # noqa: F403
from config.env.documents import *  # noqa: F403
from config.env.embedding import *  # noqa: F403
from config.env.files import *  # noqa: F403
from config.env.limits import *  # noqa: F403
from config.env.monitoring import *  # noqa: F403
from config.env.serving import *  # noqa: F403
from config.env.work import *  # noqa: F403
from config.variables import BASE_DIR, Variable

GROUPS: dict[str, tuple[Variable, ...]] = {
    heading: tuple(each for each in vars(module).values() if isinstance(each, Variable))
    for heading, module in {
        "The application": application,
        "The web server": serving,
        "The database": database,
        "Files": files,
        "Documents": documents,
        "Embedding": embedding,
        "Background work": work,
        "Limits": limits,
        "Connections and statements": connections,
        "Logs and metrics": monitoring,
    }.items()
}
"""Every variable, by heading, in the order in which documents show them."""


def read_dotenv(path: Path = BASE_DIR / ".env") -> None:
    """Add the variables of the file at `path`, if there is one, to the environment, which wins."""
    if path.is_file():
        environ.Env.read_env(path, overwrite=False)
