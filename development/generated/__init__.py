"""Writers of the generated parts of documents."""
