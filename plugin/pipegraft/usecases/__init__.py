"""The library API: one module for each thing a user asks for."""
