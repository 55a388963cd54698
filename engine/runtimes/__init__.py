"""How a graph is executed."""
