"""What a graph or a resolved spec can become besides a module."""
