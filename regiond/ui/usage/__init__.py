"""Usage of VMs and hosts on pages: tiles with sparklines, and columns of lists."""
