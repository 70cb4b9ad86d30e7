"""Putting documents into the queue of work that is to be done."""

from uuid import UUID


def enqueue(document_id: UUID) -> None:
    """Leave a job that processes the document, in the present transaction."""


def enqueue_sweep() -> None:
    """Leave a job that enqueues each document that waits, in the present transaction: where there may be many."""
