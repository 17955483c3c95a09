"""Connections to an LXD server: REST, events, TLS and trust."""
