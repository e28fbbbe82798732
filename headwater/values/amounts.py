"""Numbers of things in texts for people."""


def counted(number: int, noun: str, plural: str = "") -> str:
    """`1 shard`, `2 shards`, `1,000 shards`; `plural` where an s does not make it."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
