"""Trains, exports and evaluates foretoken's default model. Knows nothing of the server."""
