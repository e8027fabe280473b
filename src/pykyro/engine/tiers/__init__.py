"""Where documents lie: the hot tier and cold segments, and the search of each."""
