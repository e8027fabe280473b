"""Every setting, declared once, and the conditions between settings."""
