"""Images that machines are deployed with: the catalogue, uploads and the store of their content."""
