"""The SQL that keeps what follows from spans: links, trace summaries, statistics."""
