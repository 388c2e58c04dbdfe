"""A small grammar of spoken commands, in the manner of the CRM and GRID corpora."""

import random

SLOTS = {
    "verb": "put move bring place send take hide leave",
    "color": "red blue green white black yellow orange silver",
    "object": "box cup book ball lamp key chair coat",
    "prep": "near under behind beside",
    "place": "door window table garden river bridge kitchen station",
    "name": "arrow baron charlie eagle hopper laker ringo tiger",
    "number": "one two three four five six seven eight nine",
    "adverb": "now again please soon today slowly",
}
SLOTS = {slot: words.split() for slot, words in SLOTS.items()}

# Five to eight words; every template leaves most words to chance, so that a
# language model alone cannot guess what was said.
TEMPLATES = """
name verb the color object adverb
verb the color object prep the place
ready name go to color number adverb
verb the object and the object adverb
name verb object number to the place
go to place number and verb the object
verb color number prep color number
name go to the place adverb
""".strip().splitlines()


def sentence(rng: random.Random) -> str:
    """Draws one sentence: 5 to 8 lower-case words."""
    words = []
    for part in rng.choice(TEMPLATES).split():
        words.append(rng.choice(SLOTS[part]) if part in SLOTS else part)
    return " ".join(words)


def vocabulary() -> list[str]:
    """All words of the grammar, sorted."""
    fixed = {w for t in TEMPLATES for w in t.split() if w not in SLOTS}
    return sorted(fixed | {w for words in SLOTS.values() for w in words})
