"""The reads of a discovery run on a libvirt host. They change nothing."""
