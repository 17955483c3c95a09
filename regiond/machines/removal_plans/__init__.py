"""Plans of deletions: what goes, what stays, who is affected."""
