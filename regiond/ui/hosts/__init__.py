"""The pages of VM hosts."""
