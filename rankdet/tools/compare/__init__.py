"""Trains configs with several seeds and compares them."""
