"""The JSON of each resource: one declaration of its keys."""
