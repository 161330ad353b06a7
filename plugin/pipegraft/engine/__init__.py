"""The embedded engine: keeps environments on one machine as their repositories declare them."""
