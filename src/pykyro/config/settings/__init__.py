"""Every setting, declared once, and what settings demand of each other."""
