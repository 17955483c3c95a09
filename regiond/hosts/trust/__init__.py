"""Mutual trust of hosts and Innkeeper: pinned identities, tokens, key pairs, rotation."""
