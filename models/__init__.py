"""Photo in, alpha out: decoding, inference and full-resolution mattes; imports only `config`."""
