"""Hosts that a MAAS and Innkeeper both have: one of them is in charge of each, and that can change."""
