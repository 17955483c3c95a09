"""The reads of a discovery run on an LXD server. They change nothing."""
