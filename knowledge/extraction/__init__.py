"""From a file's bytes to its text and headings, in a process of its own that may take little time and memory.

What is here runs in that process (``python -m knowledge.extraction``), without Django, and without the environment that
holds settings and secrets: files come from anywhere, and the libraries that read them are large.
``knowledge.services.extraction`` starts it, and says what this guards against, and what it doesn't.
"""
