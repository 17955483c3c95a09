"""The pages of one VM: its tabs, and the forms of its parts."""
