"""Images on an LXD server."""
