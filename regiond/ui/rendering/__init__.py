"""A page: its frame, templates and static files."""
