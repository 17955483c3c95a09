"""Files of whole VMs: written by exports, uploaded, downloaded, and read by imports."""
