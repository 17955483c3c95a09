"""Pages about all: the overview, the search, the versions of components."""
