"""Actions on instances and their volumes on an LXD server."""
