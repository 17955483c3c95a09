"""The crash matrix in one process: kills each victim at each point of each scenario, then checks everything.

A scenario (`tests/faults/scenarios`) runs once without a fault, which lists its points (`points.py`): both sides of
every commit, of every call from the region to the rack, and of every call to the host. Then each point is crossed
again with each victim that makes sense there; `points.why_not` says why the others do not. `instrumentation.py` and
`host_instrumentation.py` wrap the product while the matrix runs.

To add a scenario, write a subclass of `Scenario` and add it to `tests/faults/scenarios/__init__.py`.

    ./dev faults --only compose --only 'delete/call host.decompose after'
"""
