"""What a user is told when something cannot be done."""

from __future__ import annotations


class Trouble(Exception):
    """Says what came, what is needed, and the way out."""
