"""Small files that clients store in the region, such as the state of Juju."""
