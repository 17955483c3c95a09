"""Drivers of hypervisors, all with the contract of `contract.py`."""
