"""Which documents a cache of fixed capacity keeps: policies over ids alone, so that they also run as ghosts."""
