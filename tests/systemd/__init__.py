"""The Debian packages on a machine with a real systemd, from their installation to their removal."""
