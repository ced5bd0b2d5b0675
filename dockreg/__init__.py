"""A container registry for every Docker engine and every OCI client."""
