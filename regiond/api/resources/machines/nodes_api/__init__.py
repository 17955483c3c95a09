"""Nodes: machines and devices under the names that MAAS gives them."""
