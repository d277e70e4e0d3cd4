"""A grammar of plain sentences: the statement that a sentence makes, and the question it answers.

It is made of patterns over words, for English as papers write it; a sentence that none of them matches gives
no question.  Nothing here knows of corpora.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ragkit.evaluate.testset.verbs import ANY, FORMS, ING, PAST, VERBS, either
from ragkit.text.words import codes, numbers, stems

if TYPE_CHECKING:
    from ragkit.evaluate.testset.papers import PaperSentence

_TOKEN = r"(?:[A-Z]\w*+|(?<![a-z])[a-z]++[A-Z0-9]\w*+)(?:[-+/.]\w+)*"
NAME = rf"{_TOKEN}(?: (?:{_TOKEN}|\d+(?:\.\d+)?)){{0,2}}"
_COINING = r"(?:propos|introduc|present|develop|describ|releas|creat|construct|design|unveil|contribut)(?:e|es|ed|s|ing)?|build|builds|built"
INTRODUCTIONS = (
    re.compile(rf"\b(?:{_COINING})(?: and \w+)? (?:the )?(?P<name>{NAME})(?=[ ,.;:(])"),
    re.compile(rf"\b(?:{_COINING})(?: and \w+)? (?P<phrase>[^,.;:()]{{4,90}}) \((?P<name>{NAME})\)"),
    re.compile(
        rf"\b(?:{_COINING})(?: and \w+)? (?:an?|the|our) [^.;:()]{{4,90}}?,? (?:named|called|dubbed|termed|namely) (?P<name>{NAME})(?=[ ,.;:(])"
    ),
)
HEADS = (
    "method|approach|framework|model|system|algorithm|architecture|dataset|benchmark|corpus|library|toolkit|tool|technique|strategy|mechanism"
    "|pipeline|paradigm|retriever|encoder|decoder|transformer|network|agent|metric|score|suite|collection|module|loss|optimizer|tokenizer"
    "|attack|defense|defence|protocol|platform|package|LLM|MLLM|VLM|LM|assistant|re-ranker|reranker|ranker|engine|embedding|operator|index"
    "|taxonomy|procedure|scheme|test|testbed|simulator|environment|assay|compound|judge|adapter|classifier|detector|router|objective"
    "|prompt|chatbot|recommender|generator|predictor|solver|sampler|schedule|plugin|task|challenge|lexicon|ontology|treebank|evaluator"
)
_GENERIC = "novel|new|simple|first|innovative|effective|efficient|powerful|comprehensive|general|versatile|unified|flexible|large-scale|robust|principled"
CLEAN_TITLE = re.compile(r"[\w’'/-]+(?: [\w’'/+-]+)*")
_SENTENCE_TITLE = re.compile(
    r"^(?:towards?|how|why|what|when|where|which|who|do|does|is|are|can|should|on|beyond|not|it|let|an?|the|[\w-]+ly)\b"
    r"|\b(?:is|are|can|do|does|make|makes|need|needs|know|meets?|shape|shapes|think|thinks|speak|speaks|contain|contains|enables?|improves?|your|you|we|all|better|it)\b",
    re.IGNORECASE,
)
REPORTS = re.compile(
    r"\b(?:evaluat|experiment|result|outperform|achiev|performance|accuracy|improve)", re.IGNORECASE
)


def is_sentence(title: str) -> bool:
    said = title.lower().split()
    return (
        bool(_SENTENCE_TITLE.search(title))
        or said[0] in set(VERBS) - _NOUNS
        or not set(said).isdisjoint(set(FORMS) - _NOUNS)
    )


_NOUNS = frozenset(
    "model map test score sample review measure use process support survey group rank design feature probe benchmark target release".split()
)
_NOUNS |= {f"{noun}s" for noun in _NOUNS} | {"processes"}
"""Verbs that are nouns as well."""


def mentions(text: str, name: str) -> bool:
    return name in text and re.search(rf"(?<![\w-]){re.escape(name)}(?![\w]|-\w)", text) is not None


def is_name(name: str) -> bool:
    """Does it name one thing, and no field or kind of thing?"""
    return bool(codes(name)) and not re.fullmatch(
        r"(?:(?:[MVSTL]*LLMs?|LMs?|[PS]LMs?|NLP|NLG|NLU|AI|AGI|ML|MLLMs?|RL|RLHF|IR|QA|CV|GPUs?|CPUs?|APIs?|RAG|GNNs?|CNNs?|RNNs?|ICL|SFT|KGs?|GitHub|Github"
        r"|arXiv|IDs?|URLs?|SOTA|[A-Z]|[A-Z]\d|\d\w*|[A-Z]{2,}s)\b[ -]?)+\S*",
        name,
    )


def is_of(name: str, phrase: str) -> bool:
    """Is `phrase (name)` the name of what the phrase is, and not of something that it mentions?"""
    phrase = re.sub(rf"^(?:(?:an?|the|our|{_GENERIC}) )+", "", phrase)
    full = next((full for full, _ in abbreviations(f"{phrase} ({name})")), "")
    ahead = phrase.removesuffix(full).split() if full else phrase.split()
    return (
        len(ahead) <= (3 if full else 6)
        and not _LINKS & set(ahead)
        and bool(full or re.fullmatch(HEADS, ahead[-1]))
    )


class _Thing(NamedTuple):
    """A name, and what the sentence says it is: an article, a noun phrase and what follows that."""

    name: str
    article: str
    noun: str
    link: str
    rest: str
    defining: bool

    @property
    def head(self) -> str:
        return self.noun.split()[-1]

    @property
    def whole(self) -> str:
        """What it is said to be, up to where the sentence turns to something else."""
        said = f"{self.article} {self.noun} {self.link} {self.rest}"
        if self.link not in ("that", "which"):
            said = re.split(rf" and (?:{either(FORMS)}|is|was)\b", said)[0]
        return re.split(
            r", (?:where|which|thereby|thus|enabling|achieving)\b|, and (?=[A-Z])| --? | — |[;:] ", said
        )[0]

    def asked_for(self) -> str:
        """The question whose answer is the name; "" if the sentence does not say enough for one."""
        noun = re.sub(rf"^(?:(?:{_GENERIC})(?:,| and| yet| but)? )+", "", self.noun)
        rest = _clause(self.rest)
        if (
            not rest
            or len(stems(f"{noun} {rest}")) < 5
            or len(rest.split()) > 24
            or mentions(f"{noun} {rest}", self.name)
        ):
            return ""
        if self.link in ("that", "which"):
            verb = re.match(r"(?:\w+ly )?(\w+)", rest)
            return (
                f"Which {noun} {rest}?"
                if verb and (verb[1] in FORMS or verb[1] in ("is", "can", "has", "was", "aims", "does"))
                else ""
            )
        if re.fullmatch(r"(?!us|bas)\w+ed|built", self.link) and re.match(
            r"(?:for|to|on|with|by|from) ", rest
        ):
            return f"Which {noun} is {self.link} {rest}?"
        if self.link in ("for", "to"):
            return f"Which {noun} was proposed {self.link} {rest}?"
        return f"Which {noun} {ING[self.link]} {rest}?" if self.link in ING else ""


_LINKS = frozenset(
    "that which for to of with in on from by where and or as whose consisting under using via through between across".split()
)


def things(sentence: str, coined: Sequence[str]) -> list[_Thing]:
    """What a sentence says the *coined* names are.

    It may say `X is a ...`, `we propose X, a ...` or `a ... called X that ...`.
    """
    found = []
    for name in coined:
        own = rf"(?<![\w-]){re.escape(name)}(?: \([^)]*\)|\))?"
        for match in re.finditer(
            rf"(?:^{own} is|(?:{_COINING})(?: and \w+)? (?:[^,.;:]{{0,90}}\()?{own},)(?: \([^)]*\),)? (?P<article>an?|the) (?P<rest>.+)$",
            sentence,
        ):
            if parsed := _noun_phrase(match["rest"]):
                found.append(_Thing(name, match["article"], *parsed, defining=True))
        called = rf"(?:{_COINING})(?: and \w+)? (?P<article>an?) (?P<noun>[^,.;:()]{{4,70}}?),? (?:named|called|dubbed|termed) {own},? (?P<link>that|which|for|to) (?P<rest>.+)$"
        for match in re.finditer(called, sentence):
            if re.fullmatch(rf"(?:[\w-]+ ){{0,5}}(?:{HEADS})", match["noun"]):
                article, noun, link, rest = match.group("article", "noun", "link", "rest")
                found.append(_Thing(name, article, noun, link, rest.rstrip("."), defining=False))
    return found


def _noun_phrase(text: str) -> tuple[str, str, str] | None:
    """The noun phrase that *text* begins with, the word that follows it, and the rest of the clause."""
    said = text.rstrip(".").split()
    for at, word in enumerate(said[:9]):
        if (
            at
            and re.fullmatch(HEADS, said[at - 1])
            and (word in _LINKS or re.fullmatch(r"\w{2,}(?:ed|ing)|built|capable", word))
        ):
            return " ".join(said[:at]), word, " ".join(said[at + 1 :])
        if word in _LINKS - {"and"} or word[-1] in ",.;:)":
            return None
    return None


def _clause(text: str) -> str:
    """The beginning of *text* up to where the clause ends; "" if it would be cut in the middle of a list."""
    cut = re.match(r"[^,;:()]*?(?=[;:]|,|\.$| -- | — |$| (?:while|whereas|thereby|thus|and then) )", text)
    head = (cut[0] if cut else text).strip()
    after = text[len(head) :].lstrip()
    if after.startswith(",") and (
        re.search(
            r"(?:ive|al|ful|ible|able|ous|ic|ent|ant|ed|ly|erse)$|\b(?:an?|the|more|most|into|with|of|to|for|in|and) (?!\w+ing$|[A-Z])[\w-]*[^s]$",
            head,
        )
        or re.match(r", (?:[\w-]+ ){0,3}[\w-]+,|,? ?(?:[\w-]+ ){0,4}(?:and|or) ", after)
    ):
        return ""
    return (
        head
        if head
        and not re.match(r"(?>.*\b(?:both|between|either|including|such as)\b)(?!.* (?:and|or) )", head)
        else ""
    )


def abbreviations(sentence: str) -> list[tuple[str, str]]:
    """Each `Full Name (FN)` whose initials are the abbreviation's, as (full, short)."""
    found = []
    for match in re.finditer(r"(?<![\w-])((?:[\w-]++ ){2,8})\(([A-Z][A-Za-z]*[A-Z])\)", sentence):
        letters = match[2].casefold()
        before = match[1].split()
        for start in range(max(len(before) - 8, 0), len(before)):
            parts = [part for word in before[start:] for part in word.split("-") if part]
            main = [
                part
                for part in parts
                if part.casefold() not in ("of", "for", "the", "and", "in", "on", "with", "to", "a")
            ]
            if (
                letters in ("".join(p[0] for p in parts).casefold(), "".join(p[0] for p in main).casefold())
                and parts[0] in main
            ):
                if before[start] not in FORMS:
                    found.append((" ".join(before[start:]), match[2]))
                break
    return found


_COUNT_WORDS = "two three four five six seven eight nine ten eleven twelve".split()
_NUM = rf"(?P<num>\d[\d,]*(?:\.\d+)?(?:[KMB]\b|\s?(?:thousand|million|billion|trillion)\b)?|{'|'.join(_COUNT_WORDS)})\+?"
_ABOUT = r"(?:(?:over|about|around|approximately|more than|nearly|almost|up to|at least|only|just|roughly|a total of|as many as|some|the following|these) )?"
_ENDS = r"(?=[,;:(]|\.(?!\d)|$| (?:that|which|who|for|to|of|with|in|on|from|by|at|and|across|over|per|as|while|when|where|covering|spanning|using|via|through|between|under|each|within|ranging|collected|including|without|called|named|based|drawn|annotated|but|during)\b)"
_UNIT = rf"(?P<unit>(?:(?!(?:and|or|of|the|to|in|for|with|on|from|by|times|other|more|additional|is|are|was|were)\b)[\w/-]+ ){{0,4}}(?!(?:kinds|types|sorts|forms|sets|pairs|groups|categories|families|hours|days|series|levels|pieces|ranges) of|times|others|less|points|orders|ours|is|was|has|across|various|this|respects|parts|ways|words of|aspects\b|folds|percents|years)[a-zA-Z][\w-]*[a-rt-z]s){_ENDS}"
_REST = r"(?P<rest>(?: (?:on|in|for|over|compared to|compared with|relative to|across|when|with|of|at) (?:[^,.;:()]|\.(?=\d)){3,80}?)?)(?=[,;:(]|\.(?!\d)|$| (?:and|while|with only|without|but|as well) )"
_INNER = r"(?:[^,.;:()]|\.(?=\d))"
_STOP = r"(?=[,;:(]|\.(?!\d)|$)"
_AMOUNT = r"(?P<num>\d[\d,]*(?:\.\d+)?(?:-\d+)? ?(?:%|percent|percentage points|points|BLEU|(?:x|X|×|-fold)\b|times|orders of magnitude)(?: points)?(?![\w-]))"


def _predicates(sentence: PaperSentence) -> Iterator[tuple[str, str, str]]:
    """Each name that the sentence says something of, with what stands before it and after it."""
    said, coined = sentence.plain, sentence.paper.coined
    opening = re.match(rf"(?:(?:On|In|For|At) [^,]{{3,60}}, )?({NAME}) ", said)
    subjects = {name: rf"(?:[Tt]he )?{re.escape(name)}(?: \([^)]*\))?(?: (?:{HEADS}))?" for name in coined}
    if opening and is_name(opening[1]):
        subjects.setdefault(opening[1], re.escape(opening[1]))
    if len(coined) == 1:
        [main] = coined
        own = r"[Oo]ur (?:proposed )?(?:method|approach|framework|model|system|benchmark|dataset|corpus|algorithm)"
        coining = re.search(rf"\b(?:{_COINING}) ", sentence.before)
        if (coining and main in sentence.before[coining.end() :]) or sentence.before.startswith(f"{main} "):
            own = rf"{own}|(?<!.)(?:It|This (?:dataset|benchmark|corpus|model))"
        subjects[main] = f"{subjects[main]}|{own}"
    for name, subject in subjects.items():
        for match in re.finditer(
            rf"(?:^|, |; |that |\b(?:{_COINING})(?: and \w+)? )(?:{subject})(?:,[^,]{{3,60}},)?(?=[ ,])", said
        ):
            yield name, said[: match.start()], said[match.end() :]


def number_questions(sentence: PaperSentence) -> list[tuple[str, str, str]]:
    """Questions that a number of the sentence answers, with the answer and the name asked about."""
    found = []
    said, called = sentence.plain, sentence.paper.called
    for name, before, after in _predicates(sentence):
        context = re.fullmatch(r"(On|In|For) ((?:[^,. ]+ ?){1,8})", before)
        under = f" {context[1].lower()} {context[2]}" if context else ""
        for pattern, question in _OF_NAMES:
            if m := pattern.match(after):
                parts = _parts(m, name=name, called=called)
                parts["rest"] = parts.get("rest", "").rstrip() + under
                if (
                    "metric" not in parts or (parts["rest"] and " and " not in parts["metric"])
                ) and not re.search(r"\d ?%| by ", parts.get("object", "")):
                    found.append((question.format_map(parts), m["num"].strip(), name))
    for form, question in _OF_SENTENCES:
        for m in form.finditer(said):
            parts = _parts(m, name="", called=called)
            if re.search(r"\d|\b(?:and|or|our|we|that|which)\b", parts.get("rest", "")):
                parts["rest"] = ""
            if parts.get("rest", "").startswith((" of", " for")):
                parts["unit"], parts["rest"] = parts["unit"] + parts["rest"], ""
            short = "{rest}" in question and not parts["rest"]
            template = "How many {unit} {done} in {called}?" if short else question
            found.append((template.format_map(parts), m["num"], ""))
    return [each for each in found if not _in_range(said, each[1])]


def _parts(match: re.Match[str], **more: str) -> dict[str, str]:
    """The groups of a match, with the forms of its verb that questions use.

    These are `base`, `do` (does, did, can) and `done` (were trained).
    """
    parts = {name: text or "" for name, text in match.groupdict().items()}
    verb = parts.get("verb", "")
    base = ANY.get(verb, verb)
    be = "were" if base in _DONE else "are"
    parts |= {
        "base": base,
        "do": parts.get("can") or ("did" if verb in PAST else "does"),
        "done": f"{be} {VERBS[base][2]}" if base in VERBS else "",
    }
    return (
        parts
        | {"having": _HAVING.get(parts.get("link", ""), ""), "on_": parts.get("on", "").capitalize()}
        | more
    )


_HAVING = {
    "of": "contain", "with": "have", "containing": "contain", "comprising": "comprise", "covering": "cover", "spanning": "span",
    "consisting of": "consist of", "including": "include", "featuring": "feature", "that contains": "contain", "that covers": "cover",
}  # fmt: skip
_DONE = frozenset(
    "analyze annotate assess benchmark collect compare compile conduct construct create curate develop evaluate examine explore fine-tune generate "
    "investigate perform review study survey test train build release".split()
)
_SAID = frozenset(
    "propose introduce present identify define describe consider use employ find address".split()
)
_ADVERB = r"(?:also |further |then |first |can )?(?:\w+ly )?(?:have )?"
_PREPOSITION = r"(?P<prep> (?:of|on|from|over|with|across|into|between|to))?"
_CHANGES = "outperform improve reduce boost increase surpass exceed cut lower raise accelerate beat enhance decrease".split()
_SCORES = "achieve reach obtain get yield attain score".split()
_OF_NAMES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(rf"\A(?:{pattern})"), question)
    for pattern, question in (
        (
            rf" {_ADVERB}(?P<verb>{either(FORMS | PAST)}){_PREPOSITION} {_ABOUT}{_NUM} {_UNIT}",
            "How many {unit} {do} {name} {base}{prep}?",
        ),
        (
            rf" (?P<be>is|was) (?P<verb>\w+ed|built) (?P<prep>on|with|from|over|across|in|into|by) {_ABOUT}{_NUM} {_UNIT}",
            "How many {unit} {be} {name} {verb} {prep}?",
        ),
        (
            rf", (?:an?|the) (?:[\w-]+ ){{0,6}}(?:{HEADS}) (?P<link>{'|'.join(_HAVING)}) {_ABOUT}{_NUM} {_UNIT}",
            "How many {unit} does {name} {having}?",
        ),
        (
            rf"(?!(?>.*?\b(?:than|over|to)\b).*parameters),? ?{_INNER}{{0,60}}?\bwith {_ABOUT}{_NUM} parameters",
            "How many parameters does {name} have?",
        ),
        (
            rf" (?:(?P<can>can) )?{_ADVERB}(?P<verb>{either({form: '' for form, base in ANY.items() if base in _CHANGES})}) (?P<object>{_INNER}{{3,90}}?) by (?:an average of )?{_ABOUT}{_AMOUNT}{_REST}",
            "By how much {do} {name} {base} {object}{rest}?",
        ),
        *(
            (
                f" {_ADVERB}(?P<verb>{'|'.join(v for v in ANY if ANY[v] in _SCORES)}) {scored}{_REST}",
                "What {metric} {do} {name} {base}{rest}?",
            )
            for scored in (
                rf"(?:an? |the )?(?P<metric>(?!\d|state|new|competitive|high|the |an? |record|average of)[\w@-]+(?: (?!of )[\w@-]+){{0,3}}) of {_ABOUT}(?P<num>\d[\d.]*\d ?%?)",
                rf"{_ABOUT}(?P<num>\d[\d.]*\d ?%) (?P<metric>(?:[\w@-]+ )?(?:accuracy|precision|recall|F1|success rate))",
            )
        ),
    )
)
_AGENTS = r"\b(?:[Ww]e|I|[Tt]he authors|[Tt]his (?:paper|work|study|survey|article))"
_ACTS = either({form: "" for form, base in ANY.items() if base in _DONE | _SAID})
_TRIALS = rf"\b(?:[Ee]xperiments|[Ee]valuations?|(?:evaluate|test|assesse?|validate)d?(?: {_INNER}{{2,60}}?)?)(?: conducted| performed| carried out)?"
_OF_SENTENCES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), question)
    for pattern, question in (
        (
            rf"^The (?P<np>(?!(?:paper|study|work|survey|authors?|same|other)\b)(?:(?!(?:that|which|who|and|to|in|on|by)\b)[\w-]+ ){{1,4}}?)"
            rf"(?P<verb>{either(FORMS | PAST)}){_PREPOSITION} {_ABOUT}{_NUM} {_UNIT}",
            "According to {called}, how many {unit} {do} the {np}{base}{prep}?",
        ),
        (
            rf"{_TRIALS} (?P<on>on|across|over) {_ABOUT}{_NUM} (?=(?:[\w-]+ ){{0,4}}(?:datasets|benchmarks|tasks|languages|models|LLMs|domains|corpora)\b){_UNIT}",
            "{on_} how many {unit} were the experiments in {called} run?",
        ),
        (
            rf"{_AGENTS} {_ADVERB}(?P<verb>{_ACTS}) {_ABOUT}{_NUM} {_UNIT}(?:(?P<rest> (?:to|for|from|on|in|across|of|that|over) {_INNER}{{3,70}}){_STOP})?",
            "According to {called}, how many {unit} {done}{rest}?",
        ),
    )
)


def _in_range(said: str, number: str) -> bool:
    near = rf"(?:\d|{'|'.join(_COUNT_WORDS)})"
    between = r"(?: to | or |-|–)"
    return (
        re.search(rf"{near}{between}{re.escape(number)}|{re.escape(number)}{between}{near}", said) is not None
    )


def ways_to_write(amount: str) -> tuple[str, ...]:
    """How a number may be written in an answer: `80,000`, `80000`, `80K`; `six`, `6`."""
    ways = [amount]
    number = re.match(r"[\d.,]+", amount)
    if amount in _COUNT_WORDS:
        ways.append(str(_COUNT_WORDS.index(amount) + 2))
    elif amount in map(str, range(2, 13)):
        ways.append(_COUNT_WORDS[int(amount) - 2])
    elif re.fullmatch(r"[\d.,]+ ?%", amount) and number:
        ways += [f"{number[0]}%", f"{number[0]} %", f"{number[0]} percent"]
    elif number and re.fullmatch(r"[\d,]+|[\d.,]+(?:[KMB]| ?(?:thousand|million|billion|trillion))", amount):
        for value in sorted(v for v in numbers(amount) if v.isdecimal()):
            ways += [value, f"{int(value):,}"]
            for zeros, units in ((3, "Kk"), (6, ("M", " million")), (9, ("B", " billion"))):
                if value.endswith("0" * zeros) and len(value) - zeros <= 3:
                    ways += [f"{value[:-zeros]}{unit}" for unit in units]
    elif number and not re.search(r"\d-\d", amount):
        ways.append(number[0].rstrip(".,"))
    return tuple(dict.fromkeys(ways))


def fact_questions(sentence: PaperSentence) -> list[tuple[str, str, str]]:
    """Questions of how, with what and on what, with the answer and the name asked about."""
    found = []
    for name, _, after in _predicates(sentence):
        if m := _HOW.match(after):
            answer = _clause(m["answer"])
            vague = re.search(
                r"\b(?:by|through|via|that|which|and|\d+)\b|^(?:the|its|their) \S+$", m["object"]
            ) or re.search(r"\d%", answer)
            if 4 <= len(answer.split()) <= 30 and not vague:
                found.append((f"How does {name} {FORMS[m['verb']]} {m['object']}?", answer, name))
        if m := _WITH_WHAT.match(after):
            aim = _clause(m["aim"])
            vague = re.search(r"\b(?:that|which|how|ability|potential|and)\b", m["answer"])
            if 2 <= len(m["answer"].split()) <= 12 and 2 <= len(aim.split()) <= 18 and not vague:
                found.append((f"What does {name} use to {aim}?", m["answer"], name))
        if (m := _ON_WHAT.match(after)) and len(m["answer"].split()) <= 15:
            found.append((f"What {m['be']} {name} {m['verb']} {m['on']}?", m["answer"], name))
        if (m := _OF_WHAT.match(after)) and 3 <= len(m["answer"].split()) <= 25:
            found.append((f"What does {name} consist of?", m["answer"], name))
    return found


_NO_NUMBER = rf"(?!\d|(?:{'|'.join(_COUNT_WORDS)}|over|more|about|up|the same|the following)\b)"
_HOW = re.compile(
    rf" {_ADVERB}(?P<verb>{either(FORMS)}) (?P<object>{_INNER}{{6,90}}?) (?P<answer>(?:by \w+ing|through|via) .+)$"
)
_WITH_WHAT = re.compile(
    rf" {_ADVERB}(?:uses|leverages|employs|utilizes|adopts|exploits) (?P<answer>(?:(?!to ){_INNER})+?) to (?P<aim>(?:{either(VERBS)}) .+)$"
)
_ON_WHAT = re.compile(
    r" (?P<be>is|was) (?P<verb>trained|based|built|evaluated|fine-tuned|pre-trained|pretrained|tested) (?P<on>on(?: top of)?|upon|from)"
    rf" (?P<answer>{_NO_NUMBER}{_INNER}+?){_STOP}"
)
_OF_WHAT = re.compile(rf" consists of (?P<answer>{_NO_NUMBER}(?:[^.;:()]|\.(?=\d))+)(?=;|\.$|$)")


# --- what nothing answers

_DATA = "dataset|benchmark|corpus|collection|suite|testbed|treebank|lexicon"
MODEL = "model|LLM|MLLM|VLM|LM|retriever|encoder|decoder|transformer|network|reranker|re-ranker|ranker|embedding|assistant|judge|classifier|detector|router|generator|predictor|adapter"
METHOD = "method|approach|framework|system|algorithm|architecture|technique|pipeline|paradigm|toolkit|library|tool|mechanism|strategy|module|agent|platform"
ATTRIBUTES = (
    (_DATA, "Under which licence is the {name} {head} distributed?", r"licen[cs]e|Creative Commons|CC.BY|Apache|\bMIT\b"),
    (_DATA, "How much were the annotators of the {name} {head} paid per hour?", r"\bpaid\b|payment|wage|per hour|compensat|\$"),
    (_DATA, "How many gigabytes does the {name} {head} take up on disk?", r"\bGB\b|gigabyte|\bTB\b|terabyte"),
    (_DATA, "What inter-annotator agreement is reported for the {name} {head}?", r"inter-annotator|kappa|agreement"),
    (MODEL, "How many GPU hours did the training of {name} take?", r"GPU|\bTPU|hours"),
    (MODEL, "Which learning rate was used to train {name}?", r"learning rate"),
    (MODEL, "How many tonnes of CO2 did the training of {name} emit?", r"CO2|carbon|emission|emit"),
    (MODEL, "How many dollars did the training of {name} cost?", r"\$|dollar|USD"),
    (METHOD, "Under which licence is the code of {name} released?", r"licen[cs]e|Apache|\bMIT\b"),
    (METHOD, "Which programming language is {name} implemented in?", r"Python|Java\b|C\+\+|Rust|implemented in|programming language"),
    (METHOD, "How much GPU memory in gigabytes does {name} need?", r"\bGB\b|gigabyte|GPU memory"),
    (METHOD, "Which research agency funded the development of {name}?", r"\bfund|\bgrant|supported by"),
)  # fmt: skip
OF_PAPERS = (
    ("How many GPU hours did the experiments in {paper} take?", r"GPU|hours"),
    ("Which learning rate was used in {paper}?", r"learning rate"),
    ("Which research agency funded the work in {paper}?", r"\bfund|\bgrant|supported by"),
    ("How many annotators were hired for {paper}?", r"annotat|crowd|worker"),
    (
        "Which test of statistical significance was applied in {paper}?",
        r"significan|t-test|p-value|ANOVA|Wilcoxon",
    ),
    ("Which random seeds were used in {paper}?", r"\bseeds?\b"),
)
OF_SURVEYS = (
    (
        "How many papers were screened for {paper}?",
        r"\d (?:\w+ )?(?:papers|publications|studies|articles|works)",
    ),
    ("Which research agency funded the work in {paper}?", r"\bfund|\bgrant|supported by"),
    (
        "Which literature databases were searched in {paper}?",
        r"Scopus|Scholar|Web of Science|PubMed|\bdatabases?\b",
    ),
)
RIVALS = (
    (_DATA, tuple("SQuAD HotpotQA TriviaQA DROP CoQA QuAC NarrativeQA TyDiQA MLQA BoolQ PIQA HellaSwag WinoGrande LAMBADA SuperGLUE GLUE MMLU GSM8K HumanEval BEIR MTEB FEVER KILT CLINC150 MNLI".split())),
    (MODEL, tuple("BERT RoBERTa ALBERT ELECTRA XLNet DeBERTa BART T5 GPT-2 GPT-3 GPT-4 LLaMA BLOOM Falcon Mistral Gopher Chinchilla PaLM OPT Pythia CLIP ColBERT DPR SPLADE ANCE".split())),
    (METHOD, tuple("LoRA QLoRA DoRA AdaLoRA ReAct Reflexion Toolformer HyDE RAPTOR Self-RAG FLARE REALM RETRO SimCSE AutoGPT LangChain LlamaIndex DSPy DPO PPO".split())),
)  # fmt: skip
