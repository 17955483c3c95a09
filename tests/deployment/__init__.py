"""A whole Innkeeper for tests: region, racks, PostgreSQL and hosts, in this process or as real processes.

`Deployment` has one interface for both; a `Runner` starts and kills the daemons. `in_process.deployed` and
`processes.deployed` make one.
"""
