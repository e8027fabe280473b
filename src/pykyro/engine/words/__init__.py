"""Searches by words, alone or beside a vector: on the same tiers, with the same promises."""
