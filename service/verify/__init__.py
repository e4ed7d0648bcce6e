"""The privacy self-test."""
