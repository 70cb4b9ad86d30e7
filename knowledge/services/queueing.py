"""Putting documents and collections into the queue of work that is to be done, in the present transaction."""

from uuid import UUID


def enqueue(document_id: UUID) -> None:
    """Leave a job that processes a document, which the transaction has just written."""
    from knowledge import tasks  # which imports the services

    tasks.enqueue_document(document_id)


def enqueue_waiting() -> None:
    """Leave a job that enqueues each document that waits: where there may be many."""
    from knowledge import tasks

    tasks.enqueue_documents.enqueue()


def enqueue_reembedding(collection_id: UUID) -> None:
    """Leave a job that embeds a collection's chunks by its next model."""
    from knowledge import tasks

    tasks.enqueue_collection(collection_id)
