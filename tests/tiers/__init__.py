"""The two tiers of tests: `./dev test` runs the first one, `./dev test deep` the others by area.

`areas.py` says which area a test belongs to, `plugin.py` selects and measures tests inside pytest, `runs.py` starts
pytest, `first.py` and `deep.py` are the two commands.
"""
