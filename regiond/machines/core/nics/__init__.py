"""Changes of the NICs of machines: links with addresses, default gateways, names and tags."""
