"""Certificates and the trust in servers."""
