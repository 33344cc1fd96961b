"""Public tables of prices."""
