"""Reunite: re-identification by clustering."""
