"""Registers machines in a MAAS without VM hosts, which then commissions and deploys them."""
