"""The process of a region: its settings, sockets, health, folders and extensions."""
