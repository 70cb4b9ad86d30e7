"""The language of templates: what may be written, what it costs, where files may go."""
