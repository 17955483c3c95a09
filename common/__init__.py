"""The words that both daemons and the client speak. Imports none of them."""
