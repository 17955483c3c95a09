"""The crash matrix in one process: at every point of every operation each victim dies once, and all must be well again.

A *scenario* (`scenario.py`) is one thing that a caller asks for. It is run once without a fault, which lists its
points (`points.py`): both sides of every commit, of every call from the region to the rack, and of every call to the
host. Then each point is met again with each victim that makes sense there (`points.why_not` says why others do not).

The seams are put around the product from here (`seams.py`) and are gone afterwards; the product knows nothing of them.

To add a scenario: write a class that keeps `scenario.Scenario` in a module of `scenarios/`, and name it in
`scenarios/__init__.py`. `prepare` makes what is needed, anew for each cell, and may ask the API; `ask` asks once, with
the idempotency key, and is called again with the same key until it is answered; `check` says what is wrong in the end,
beside what `checking.py` says of every world. `kinds` are the operations whose points belong to it.

    ./dev faults --only compose --only 'delete/call host.decompose after'
"""
