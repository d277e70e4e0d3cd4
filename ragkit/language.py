"""Which language a text is in: English, unless it clearly is in another."""

from __future__ import annotations

import functools
from typing import Any

_NAMES = (
    "ar Arabic, az Azerbaijani, be Belarusian, bg Bulgarian, bn Bengali, ca Catalan, cs Czech, cy Welsh, da Danish, "
    "de German, el Greek, en English, es Spanish, et Estonian, eu Basque, fa Persian, fi Finnish, fr French, ga Irish, "
    "gl Galician, gu Gujarati, he Hebrew, hi Hindi, hr Croatian, hu Hungarian, hy Armenian, id Indonesian, is Icelandic, it Italian, ja Japanese, "
    "ka Georgian, kk Kazakh, km Khmer, kn Kannada, ko Korean, lo Lao, lt Lithuanian, lv Latvian, mk Macedonian, ml Malayalam, "
    "mn Mongolian, mr Marathi, ms Malay, my Burmese, ne Nepali, nl Dutch, no Norwegian, pa Punjabi, pl Polish, pt Portuguese, ro Romanian, "
    "ru Russian, si Sinhala, sk Slovak, sl Slovenian, sq Albanian, sr Serbian, sv Swedish, sw Swahili, ta Tamil, te Telugu, th Thai, "
    "tl Tagalog, tr Turkish, uk Ukrainian, ur Urdu, uz Uzbek, vi Vietnamese, zh Chinese"
)
LANGUAGES = dict(each.split() for each in _NAMES.split(", "))
"""The languages that are told apart: their ISO 639-1 codes, and their names in English."""

_CLEARLY = 5.0
"""How many times as likely as English another language must be.

All of 45 short questions in 18 other languages are more than that; of 517 English queries, 322 titles and 2,809 sentences of
papers, one is, which is an address.
"""
# Words of English that are no common ones of the other languages.  A text that asks with one of the first, or has many of
# them, is in English for sure; then the model need not be loaded.
_ASKING = frozenset("what which how does did why who whose whom where".split())
_SURELY = _ASKING | frozenset("the of with from this that these those their they were been have between whether".split())
_PART = 0.2


@functools.lru_cache(maxsize=8192)
def language_of(text: str) -> str:
    """The ISO 639-1 code of the language of *text*; `en` for what could be English, such as a name, and for what has no words."""
    said = [word.strip(".,;:?!()[]\"'“”").casefold() for word in text.split()]
    surely = (said[:1] and said[0] in _ASKING) or sum(word in _SURELY for word in said) >= _PART * len(said)
    if surely or not any(c.isalpha() for c in text):
        return "en"
    likely = dict(_identifier().rank(text))
    best = max(likely, key=likely.__getitem__)
    return best if likely[best] > _CLEARLY * likely["en"] else "en"


def is_english(text: str) -> bool:
    """Is *text* in English, or could it be?"""
    return language_of(text) == "en"


@functools.cache
def _identifier() -> Any:
    """The model of py3langid, which counts sequences of letters; it takes a third of a second to load."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(LANGUAGES)
    return identifier
