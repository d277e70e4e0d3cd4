// The stored text of a paper, with characters of it marked.
import { h } from "./dom.js";
import { Characters } from "./characters.js";

/** Elements for the text of *paper*; `marks` are {start, end, class, label, id, onclick}, which do not overlap. */
export function paperText(paper, marks = []) {
  const characters = new Characters(paper.text);
  const inUnits = (each) => ({ ...each, start: characters.unit(each.start), end: characters.unit(each.end) });
  const marked = marks.map(inUnits).sort((one, other) => one.start - other.start);
  return blocksOf(paper.text, (paper.sections ?? []).map(inUnits)).map(({ start, end, kind }) => {
    const isTable = kind === "table" || /^[^\n]*\|[^\n]*\n[^\n]*\|/.test(paper.text.slice(start, end));
    const tag = kind === "heading" ? "h3" : isTable ? "pre" : "p";
    return h(tag, { class: `block ${kind}`, tabindex: isTable ? "0" : undefined }, pieces(paper.text, start, end, marked));
  });
}

/** What stands between blank lines, cut where sections begin; tables and headings stay whole. */
function blocksOf(text, sections) {
  const blocks = [];
  const add = (start, end, kind) => {
    if (text.slice(start, end).trim()) blocks.push({ start, end, kind });
  };
  const addParts = (start, end, kind) => {
    let at = start;
    for (const gap of text.slice(start, end).matchAll(/\n[ \t]*\n\s*/g)) {
      add(at, start + gap.index, kind);
      at = start + gap.index + gap[0].length;
    }
    add(at, end, kind);
  };
  let at = 0;
  for (const { start, end, kind } of sections.sort((one, other) => one.start - other.start)) {
    if (start < at) continue;
    addParts(at, start, "body");
    if (kind === "table" || kind === "heading") add(start, end, kind);
    else addParts(start, end, kind);
    at = end;
  }
  addParts(at, text.length, "body");
  return blocks;
}

/** The text from *start* to *end*: strings, and elements for what is marked. */
function pieces(text, start, end, marked) {
  const found = [];
  let at = start;
  for (const mark of marked) {
    const from = Math.max(mark.start, at);
    const to = Math.min(mark.end, end);
    if (from >= to) continue;
    const begins = from === mark.start;
    found.push(
      text.slice(at, from),
      h(
        "mark",
        {
          class: mark.class,
          id: begins ? mark.id : undefined,
          title: mark.label,
          tabindex: begins && mark.onclick ? "0" : undefined,
          onclick: mark.onclick,
          onkeydown: mark.onclick && ((event) => event.key === "Enter" && mark.onclick()),
        },
        text.slice(from, to),
      ),
    );
    at = to;
  }
  found.push(text.slice(at, end));
  return found;
}
