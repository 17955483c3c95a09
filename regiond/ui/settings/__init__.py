"""Pages of what administrators set up: racks, users, quotas, audit, discrepancies, pools and zones."""
