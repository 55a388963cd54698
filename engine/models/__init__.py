"""The networks, in torch, one per file."""
