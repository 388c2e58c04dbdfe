"""Serialized CTC: a head for each talker slot."""
