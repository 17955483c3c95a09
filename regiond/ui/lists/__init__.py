"""Lists of the pages: what an address asks for, saved filters, remembered columns, and export as a file."""
