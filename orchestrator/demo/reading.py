"""What a reader understands of a post from its text alone: what it is about, and what shape it has."""

import re

TOPICS = ("gardening", "cooking", "cycling", "astronomy", "books")
FORMATS = ("tip", "question", "list", "story", "number")

_KEYWORDS = {
    "gardening": "garden gardener gardens soil compost seed seeds seedling seedlings tomato tomatoes prune "
    "pruning mulch bulbs rose roses slug slugs allotment weeds weeding sow sowing",
    "cooking": "cook cooked cooking recipe recipes kitchen oven sauce dough bake baked baking soup onions "
    "garlic simmer roast flavour broth pan knife supper",
    "cycling": "bike bikes bicycle cycle cycled cyclist cyclists ride rides riding pedal pedals saddle tyre "
    "tyres chain climb headwind panniers derailleur commute",
    "astronomy": "star stars telescope planet planets moon galaxy nebula orbit comet eclipse jupiter saturn "
    "mars constellation binoculars orion meteor meteors",
    "books": "book books novel novels read reading reader readers chapter chapters library author authors "
    "page pages poem poems bookshop paperback shelf",
}
_TOPIC_OF_WORD = {word: topic for topic, words in _KEYWORDS.items() for word in words.split()}
_TAG = re.compile(r"#(\w+)")
_WORD = re.compile(r"[a-z]+")
_LIST_LINE = re.compile(r"^\s*(?:- |\d+\. )", re.MULTILINE)
_CLOSING_TAGS = re.compile(r"(?:\s*#\w+)+\s*$")
_FIGURE = re.compile(r"^\s*[~≈±+-]?[$€£]?\d")


def topic_of(text: str) -> str | None:
    """One of TOPICS: by hashtag where there is one, else by the most keywords; None when it fits none."""
    lowered = text.lower()
    for tag in _TAG.findall(lowered):
        if tag in TOPICS:
            return str(tag)
    topics = [_TOPIC_OF_WORD[word] for word in _WORD.findall(lowered) if word in _TOPIC_OF_WORD]
    return max(TOPICS, key=topics.count) if topics else None


def format_of(text: str) -> str:
    """One of FORMATS; the first that fits of tip, question, list, number, else a story.

    A tip starts with "Tip:". A question asks in its last line before the closing hashtags. A list has
    two lines or more that start with "- " or "1. ". A number starts with a figure.
    """
    body = _CLOSING_TAGS.sub("", text).strip()
    if body.lower().startswith("tip:"):
        return "tip"
    if "?" in body.rpartition("\n")[2]:
        return "question"
    if len(_LIST_LINE.findall(body)) >= 2:
        return "list"
    return "number" if _FIGURE.match(body) else "story"
