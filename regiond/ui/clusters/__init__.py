"""The pages of LXD clusters."""
