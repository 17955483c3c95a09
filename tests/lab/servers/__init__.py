"""Hypervisors of the lab, and what they need of the machine."""
