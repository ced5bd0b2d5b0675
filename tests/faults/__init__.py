"""What tests need to break the ground that dockreg stands on, and to see from outside that it holds all the same."""
