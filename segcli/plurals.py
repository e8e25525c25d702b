"""Counts in messages: "1 image", "2,000 images"."""

from __future__ import annotations

import re

_NOUN = re.compile(r"(\{\} (?:(?:crowd|image|invalid|predicted|JSON) )?)(\w+)")
_VERBS = {
    **{"are": "is", "were": "was", "have": "has", "do": "does"},
    **{verb: f"{verb}s" for verb in ("cover", "differ", "extend", "occur", "share")},
}
_VERB = re.compile(rf"\b({'|'.join(_VERBS)})\b")
_FURTHER_VERB = re.compile(r"\band (were|do)\b")
_DETAILS = re.compile(r":|, such as")


def counted(number: int, name: str) -> str:
    """The number with a noun, `name` in the singular: 1 category, 2,000 categories."""
    return f"{number:,} {name if number == 1 else _plural(name)}"


def with_count(sentence: str, count: int) -> str:
    """The sentence, which is in the plural, with its count in place of {}: "{} masks were left out"
    becomes "1 mask was left out". What follows a colon or "such as" stays as it is."""
    if count == 1:
        found = _DETAILS.search(sentence)
        end = len(sentence) if found is None else found.start()
        sentence = _in_singular(sentence[:end]) + sentence[end:]
    return sentence.replace("{}", f"{count:,}", 1)


def _in_singular(fact: str) -> str:
    singular = _NOUN.sub(lambda found: found[1] + _singular(found[2]), fact)
    if not fact.startswith("{}"):  # the counted noun is not the subject
        return singular
    singular = _VERB.sub(lambda found: _VERBS[found[1]], singular, count=1)
    singular = _FURTHER_VERB.sub(lambda found: f"and {_VERBS[found[1]]}", singular)
    return re.sub(r"\btheir\b", "its", singular)


def _plural(name: str) -> str:
    if name.endswith("y"):
        return f"{name[:-1]}ies"
    return f"{name}es" if name.endswith("x") else f"{name}s"


def _singular(name: str) -> str:
    if name.endswith("ies"):
        return f"{name[:-3]}y"
    return name.removesuffix("es" if name.endswith("xes") else "s")
