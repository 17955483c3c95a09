"""Machines that come: composed, adopted, allocated, cloned, imported."""
