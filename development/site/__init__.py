"""The documentation site: Markdown that MkDocs builds, from docs/ and from the declarations in the code."""
