"""What documents say of the environment variables."""

from config.env import GROUPS
from config.variables import Variable, hidden


def as_example() -> str:
    """The text of `.env.example`: every variable commented out, with its help and its default."""
    lines = [
        "# Muster's settings. Copy to .env and uncomment what you change; the environment wins over .env.",
        "# Made by: python -m config.env example > .env.example",
    ]
    for heading, variables in GROUPS.items():
        lines += ["", f"# --- {heading} ---"]
        for variable in variables:
            lines += ["", f"# {variable.help}", f"# Wants {variable.wants}."]
            if variable.shown_default is not None:
                lines.append(f"# Default: {variable.shown_default}.")
            lines.append(f"#{variable.name}={variable.example or _plain_default(variable)}")
    return "\n".join(lines) + "\n"


def as_markdown() -> str:
    """The documentation's tables of variables, one a heading."""
    lines: list[str] = []
    for heading, variables in GROUPS.items():
        lines += [f"### {heading}", "", "| variable | what for | wants | default |", "|---|---|---|---|"]
        for variable in variables:
            default = variable.shown_default or (f"`{text}`" if (text := variable.default_text()) else "none")
            lines.append(f"| `{variable.name}` | {variable.help} | {variable.wants} | {default} |")
        lines.append("")
    return "\n".join(lines)


def _plain_default(variable: Variable) -> str:
    """Its default as a value to write behind `NAME=`; empty where the default is told in words."""
    return "" if variable.show is hidden else variable.default_text()
