"""Hosts and guests as callers see them."""
