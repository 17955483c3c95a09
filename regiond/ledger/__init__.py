"""The ledger: claims on servers and their totals; the only package that writes them."""
