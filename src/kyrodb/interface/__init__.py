"""What programs pass in and get back: the same checks and values for the embedded database and the clients."""
