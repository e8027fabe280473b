"""What the caches are worth, on traffic that resembles users': hit ratios, and what a hit is worth.

python -m benchmarks.cache.policies            documents: which policy keeps the right ones
python -m benchmarks.cache.queries [--data D]  answers: hits, recall and time of every mode of the query cache
python -m benchmarks.cache.live_recall [--data D]  sampled recall against the truth
"""
