"""Data, training and evaluation: a leaf nobody imports."""
