"""What stages need from the outside world, as Protocols of two to four methods, each with its fake."""
