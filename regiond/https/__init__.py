"""The certificate of the API: files, TLS contexts, expiry."""
