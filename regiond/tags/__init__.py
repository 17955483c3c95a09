"""Tags of machines and VM hosts."""
