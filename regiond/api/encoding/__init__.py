"""Views of the services become the maps that clients know. Pure; key sets are a contract (`shapes.py` says them)."""
