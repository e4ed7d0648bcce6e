"""A fleet's certificates and folders, made on the head."""
