"""The board: what runs where, read from IaC repositories alone."""
