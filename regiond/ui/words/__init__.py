"""Words of the pages for values of the API."""
