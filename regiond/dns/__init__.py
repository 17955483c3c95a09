"""Domains and the static DNS records of people and programs. Innkeeper serves no DNS: it writes zone files."""
