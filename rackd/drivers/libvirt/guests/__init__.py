"""Actions on guests and their volumes on a libvirt host."""
