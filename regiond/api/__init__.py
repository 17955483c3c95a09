"""The HTTP API: MAAS 2.0 resources and ours, declared once."""
