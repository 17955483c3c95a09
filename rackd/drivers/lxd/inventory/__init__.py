"""What a discovery run reads of an LXD server. Changes nothing."""
