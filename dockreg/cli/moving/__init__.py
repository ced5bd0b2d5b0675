"""Moving images and whole registries in and out, without a daemon or beside one."""
