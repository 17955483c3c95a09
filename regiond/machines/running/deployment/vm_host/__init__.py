"""Deployed machines that become VM hosts."""
