"""What is done with each contender, one module for each kind of work."""
