"""The doors of the Docker Registry API v1 and the Docker Hub (Index) API v1."""
