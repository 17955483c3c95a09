"""How hosts and Innkeeper trust each other: pinned identities, tokens, key pairs, rotation."""
