"""What a discovery run reads of a libvirt host. Changes nothing."""
