"""What a load needs on AWS: shards, concurrency, capacity units, quotas it would hit, and what a month costs.

The arithmetic is here once: `headwater plan` prints it, and `bench/cost.py` prices what it counted with the same rules.
"""
