"""Asks a running MAAS, 2.9 to 3.8, what it knows: only with GET, so that nothing changes there."""
