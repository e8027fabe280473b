"""Who may, how much, and in which queue: typed requests in, typed results out."""
