"""Exports of machines to a file, and imports of such files as new machines."""
