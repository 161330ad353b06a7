"""What ships: a module a dimension, each with its signals in the order of their stages."""
