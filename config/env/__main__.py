"""Prints the documents that are made of the table of environment variables."""

import sys

from config.env.rendering import as_example, as_markdown

renderers = {"example": as_example, "markdown": as_markdown}
wanted = sys.argv[1] if len(sys.argv) == 2 else ""
if wanted not in renderers:
    sys.exit(f"usage: python -m config.env {'|'.join(renderers)}")
sys.stdout.write(renderers[wanted]())
