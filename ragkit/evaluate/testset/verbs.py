"""English verbs as papers use them, with their forms."""

from __future__ import annotations

import re
from collections.abc import Mapping

_REGULAR = (
    "achieve address analyze annotate apply assess benchmark boost capture categorize classify collect combine compare compile comprise compute conduct"
    " construct consider contain contribute cover create curate decrease define demonstrate deploy describe design detect develop devise distill divide"
    " eliminate employ enable encode encompass enhance enrich evaluate examine exceed exploit explore extend extract feature fine-tune follow formulate"
    " gather generate group handle identify implement improve include incorporate increase inject inspect integrate introduce investigate involve learn"
    " leverage lower maintain map measure merge mitigate model obtain offer optimize organize outperform perform predict present preserve probe process"
    " produce propose provide quantify raise rank reach reduce release represent require resolve retrieve review sample score select solve span speed"
    " stack store study support surpass survey synthesize tackle target test train transform unify use utilize utilise optimise minimise minimize maximize"
    " validate yield align adapt adopt accelerate consist rely aim elicit match help attain need share return turn add ask work"
)
_IRREGULAR = {
    "have": ("has", "had", "had"),
    "hold": ("holds", "held", "held"),
    "build": ("builds", "built", "built"),
    "get": ("gets", "got", "obtained"),
    "take": ("takes", "took", "taken"),
    "find": ("finds", "found", "found"),
    "show": ("shows", "showed", "shown"),
    "make": ("makes", "made", "made"),
    "run": ("runs", "ran", "run"),
    "give": ("gives", "gave", "given"),
    "cut": ("cuts", "cut", "cut"),
    "beat": ("beats", "beat", "beaten"),
}


def _conjugated(base: str) -> tuple[str, str, str]:
    third = (
        f"{base[:-1]}ies"
        if re.search(r"[^aeiou]y$", base)
        else f"{base}es"
        if re.search(r"(?:s|x|ch|sh)$", base)
        else f"{base}s"
    )
    past = (
        f"{base}d"
        if base.endswith("e")
        else f"{base[:-1]}ied"
        if re.search(r"[^aeiou]y$", base)
        else f"{base}ed"
    )
    return third, past, past


VERBS = (
    {base: _conjugated(base) for base in _REGULAR.split()}
    | {"map": ("maps", "mapped", "mapped"), "model": ("models", "modeled", "modeled")}
    | _IRREGULAR
)
VERBS["span"] = ("spans", "spanned", "spanned")
FORMS = {third: base for base, (third, _, _) in VERBS.items()}
PAST = {past: base for base, (_, past, _) in VERBS.items()}
ING = {
    f"{base[:-1] if base.endswith('e') else base}ing": third
    for base, (third, _, _) in VERBS.items()
    if base not in ("get", "run", "cut", "span", "map")
}
ANY = {**PAST, **{base: base for base in VERBS}, **FORMS}


def either(forms: Mapping[str, object]) -> str:
    return "|".join(sorted(map(re.escape, forms), key=len, reverse=True))
