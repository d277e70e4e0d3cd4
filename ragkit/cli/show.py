"""Prints evaluations on a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from ragkit.cli.terminal import out
from ragkit.evaluate.calibrate import Calibration
from ragkit.evaluate.estimate import RunEstimate
from ragkit.evaluate.evaluation import SUMMARIES, Comparison, Evaluation, Figure
from ragkit.evaluate.flips import Flips
from ragkit.evaluate.measure import MEASURES
from ragkit.evaluate.probe import Row
from ragkit.evaluate.statistics import Difference, Interval
from ragkit.evaluate.testset import Entry, Testset
from ragkit.text.printable import one_line


def _plain(*header: str, title: str | None = None) -> Table:
    return Table(*header, title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)


def evaluation(found: Evaluation) -> None:
    """A table for each dataset, with a row per measure and a column per configuration; then comparisons.

    Significant differences come first.
    """
    figures, comparisons = found.figures(), found.comparisons()
    for dataset in dict.fromkeys(run.dataset.name for run in found.runs):
        own = [f for f in figures if f.dataset == dataset]
        _table(dataset, [f for f in own if f.kind is None])
        _kinds(own)
        _comparisons([c for c in comparisons if c.dataset == dataset])
        if order := found.preferred.get(dataset):
            out.print(
                "preferred by the judge: "
                + ", ".join(f"{r.rank}. {r.name} ({r.strength:+.2f})" for r in order)
            )
        out.print()
    for note in found.notes:
        out.print(note, style="dim")
    if found.stopped:
        out.print(f"ended early: {found.stopped}", style="yellow")


def flips(found: Sequence[Flips]) -> None:
    """A line for each comparison."""
    for each in found:
        out.print(Text(one_line(f"flips, {each}"), style="dim"), soft_wrap=True)


def _table(dataset: str, figures: Sequence[Figure]) -> None:
    names = list(dict.fromkeys(f.configuration for f in figures))
    cells = {(f.measure, f.configuration): _cell(f) for f in figures}
    table = _plain("", *names, title=dataset)
    for measure in [*MEASURES, *SUMMARIES]:
        if any((measure, name) in cells for name in names) and not _is_nothing(measure, figures):
            table.add_row(Text(measure, style="cyan"), *(cells.get((measure, name), "") for name in names))
    out.print(table)


def _is_nothing(measure: str, figures: Sequence[Figure]) -> bool:
    """Errors and calls that there were none of need no row."""
    return measure in ("failed", "calls") and all(
        f.interval.value == 0 for f in figures if f.measure == measure
    )


def _cell(figure: Figure) -> Text:
    value, low, high, _ = figure.interval
    unit = (MEASURES | SUMMARIES)[figure.measure].unit
    if unit == "share":
        return _shared(figure.interval)
    digits = 4 if figure.measure == "cost" else 0
    return Text(f"{value:.{digits}f} ").append(f"[{low:.{digits}f}, {high:.{digits}f}]", style="dim")


def _short(share: float) -> str:
    """`.79` for 0.79: what stands in every cell should take little room."""
    return f"{share:.2f}".removeprefix("0") if share < 1 else "1"


def _kinds(figures: Sequence[Figure]) -> None:
    """The share of good answers for each kind of question."""
    rows = [f for f in figures if f.kind and f.measure == "good"]
    names = list(dict.fromkeys(f.configuration for f in rows))
    if rows:
        table = _plain("good, by kind", "questions", *names)
        for kind in dict.fromkeys(f.kind for f in rows):
            own = {f.configuration: f for f in rows if f.kind == kind}
            cases = max(f.interval.cases for f in own.values())
            table.add_row(
                Text(str(kind), style="cyan"), str(cases), *(_cell(own[n]) if n in own else "" for n in names)
            )
        out.print()
        out.print(table)


def _comparisons(comparisons: Sequence[Comparison]) -> None:
    sure = [c for c in comparisons if not c.difference.is_chance]
    if comparisons:
        out.print()
    for c in sure:
        d = c.difference
        digits = 3 if MEASURES[c.measure].unit == "share" else 4 if c.measure == "cost" else 0
        line = Text(
            f"{c.measure}: {c.first} − {c.second} = {d.value:+.{digits}f} [{d.low:+.{digits}f}, {d.high:+.{digits}f}], "
        )
        out.print(
            line.append(f"p = {d.p:.2g}, {d.cases} questions: ", style="dim").append(c.verdict, style="bold"),
            soft_wrap=True,
        )
    chance = list(dict.fromkeys(c.measure for c in comparisons if c.difference.is_chance))
    if chance:
        out.print(
            f"could be chance: differences in {', '.join(chance)}" + (" between other pairs" if sure else ""),
            style="dim",
            soft_wrap=True,
        )


def probes(rows: Sequence[Row]) -> None:
    """A table for each configuration, with a row for each probe.

    It fits into a terminal of 80 columns.
    """
    for configuration in dict.fromkeys(row.configuration for row in rows):
        own = [row for row in rows if row.configuration == configuration]
        measures = list(dict.fromkeys(name for row in own for name in row.values))
        table = _plain("", "asked", *measures, "right, to as_found", title=configuration)
        table.padding = (0, 1, 0, 0)
        for row in own:
            cells = [_probed(name, row.values[name]) if name in row.values else Text() for name in measures]
            table.add_row(
                Text(row.probe, style="cyan", no_wrap=True), str(row.questions), *cells, _apart(row.against)
            )
        out.print(table)
        out.print()


def _probed(name: str, found: Interval) -> Text:
    """The share; with its interval where it is what the probe is about."""
    text = Text(f"{found.value:.2f}", no_wrap=True)
    return (
        text.append(f" [{_short(found.low)}, {_short(found.high)}]", style="dim")
        if name in ("right", "declined")
        else text
    )


def _apart(found: Difference | None) -> Text:
    if found is None:
        return Text()
    verdict = " chance?" if found.is_chance else f" p={found.p:.2g}"
    return Text(f"{found.value:+.2f}", no_wrap=True).append(verdict, style="dim")


def calibration(found: Calibration) -> None:
    """The fitted gate in cross-validation: its shares, risk by coverage in a few rows, and warnings."""
    rows = (
        (f"right among the answered (target {found.target:g})", found.precision),
        ("answered among all questions", found.coverage),
        ("abstained among the unanswerable", found.declined),
        ("abstained among the answerable", found.declined_wrongly),
    )
    table = _plain(f"gate, cross-validated over {found.questions} questions", "")
    for label, share in rows:
        table.add_row(Text(label, style="cyan"), _shared(share) if share else Text("none", style="dim"))
    out.print(table)
    curve = _plain("answered", "right", "questions")
    for wanted in (0.2, 0.4, 0.6, 0.8, 1.0):
        if reached := [point for point in found.curve if point.coverage <= wanted]:
            last = reached[-1]
            curve.add_row(
                f"{last.coverage:.0%}", f"{1 - last.risk:.0%}", str(round(last.coverage * found.questions))
            )
    out.print()
    out.print(curve)
    for warning in found.warnings:
        out.print(warning, style="yellow", soft_wrap=True)


def _shared(share: Interval) -> Text:
    return Text(f"{share.value:.3f} ").append(f"[{_short(share.low)}, {_short(share.high)}]", style="dim")


def testset(found: Testset, path: Path, sample: int, seed: int) -> None:
    """How many questions were written and why others were not, and a sample of them."""
    kinds = ", ".join(f"{number} {kind}" for kind, number in Counter(e.kind for e in found.entries).items())
    out.print(f"{len(found.entries)} questions in {path}: {kinds}")
    if found.rejected:
        out.print(
            "dropped: " + ", ".join(f"{number} {reason}" for reason, number in found.rejected.items()),
            style="dim",
            soft_wrap=True,
        )
    for entry in found.sample(sample, seed) if sample else ():
        _entry(entry)


def reviewed(entries: Sequence[Entry]) -> Iterator[Entry]:
    """Those that the user keeps; at the end of input, all that were not shown."""
    for number, entry in enumerate(entries):
        _entry(entry)
        try:
            said = input(f"{number + 1} of {len(entries)}: keep? [Y/n, q keeps the rest] ").strip().casefold()
        except EOFError:
            said = "q"
        if said.startswith("q"):
            yield from entries[number:]
            return
        if not said.startswith("n"):
            yield entry


def _entry(entry: Entry) -> None:
    out.print()
    out.print(Text(f"{one_line(entry.question)}  ", style="bold").append(entry.kind, style="dim"))
    out.print(Text(entry.answer or "(nothing answers it)", style="green" if entry.answer else "yellow"))
    for span in entry.spans:
        out.print(Text(f"{one_line(span.title)}: “{' '.join(span.quote.split())}”", style="dim"))


def estimate(planned: Sequence[RunEstimate]) -> None:
    """What a run would take: a row for each dataset and configuration."""
    header = (
        "dataset, configuration, questions, known, papers to ingest, texts to embed, calls, tokens, seconds"
    )
    table = _plain(*header.split(", "))
    for e in planned:
        table.add_row(
            *map(str, (e.dataset, e.configuration, e.questions, e.known, e.papers, e.encode, e.calls)),
            "unknown" if e.tokens is None else f"{e.tokens:,}",
            "unknown" if e.seconds is None else f"{e.seconds:,.0f}",
        )
    out.print(table)
