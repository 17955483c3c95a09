"""Discovery runs of hosts: schedule, comparison with the database, one transaction per run."""
