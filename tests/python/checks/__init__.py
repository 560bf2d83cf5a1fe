"""Checks of the text, the client and the server against each other."""
