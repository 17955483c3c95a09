"""Racks: enrolment, links, calls to hosts, events of hosts."""
