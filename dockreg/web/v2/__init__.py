"""The routes of the Docker Registry API v2 and of OCI Distribution."""
