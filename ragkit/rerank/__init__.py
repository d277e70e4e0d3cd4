"""Passages put into a better order: by chat models (`chat`), or by cross-encoders, token vectors and likeness (`models`)."""
