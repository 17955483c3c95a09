"""Releases before this one, kept so that every later build is tried against them.

`NUMBER/database.sql.gz` is the database of a region of that release, `NUMBER/state/` its state folder, with keys that
protect nothing else, and `NUMBER/*.whl` its wheel. `keep.py` makes them.
"""
