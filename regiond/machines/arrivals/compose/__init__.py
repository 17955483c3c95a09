"""The compose pipeline: validate, place, reserve, run, record."""
