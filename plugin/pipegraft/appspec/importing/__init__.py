"""Other tools' files as an app spec. What is not carried over is named: whatever nobody took is left."""
