// The evidence beside an answer: what is cited, in the paper's text and on its page.
import { copy, h, icon, iconButton, sentence } from "./dom.js";
import * as api from "./api.js";
import { badge } from "./verdicts.js";
import { paperText } from "./papertext.js";
import { hasPages, linesOf, pageView } from "./pages.js";
import { reference } from "./reference.js";

/** Shows one citation of `list` at a time; `onmark` is told which number was clicked in the paper. */
export class Evidence {
  constructor(root, { onclose, onmark, alone = false } = {}) {
    this.root = root;
    this.alone = alone;
    this.onclose = onclose;
    this.onmark = onmark ?? (() => {});
    this.tab = "";
    this.list = [];
    this.at = 0;
  }

  /** `list`: citations of one answer; `at`: the one to show; `asked`: the question, for what else was found. */
  async show(list, at, asked = "") {
    this.list = list;
    this.at = at;
    this.asked = asked;
    await this.draw();
  }

  get current() {
    return this.list[this.at];
  }

  step(by) {
    if (!this.list.length) return;
    this.at = (this.at + by + this.list.length) % this.list.length;
    this.draw();
    this.onmark(this.current.number);
  }

  async draw() {
    this.drawing?.abort();
    const drawing = new AbortController();
    this.drawing = drawing;
    const cited = this.current;
    this.root.hidden = false;
    this.root.setAttribute("aria-busy", "true");
    this.root.replaceChildren(this.head(cited), h("p", { class: "note" }, "Opening the paper…"));
    let paper;
    try {
      paper = await api.paper(cited.document_id, ...(cited.end === undefined ? [] : [cited.start, cited.end]));
    } catch (failure) {
      if (drawing.signal.aborted) return;
      this.root.replaceChildren(this.head(cited), h("p", { class: "note problem" }, failure.message));
      return;
    } finally {
      this.root.removeAttribute("aria-busy");
    }
    if (drawing.signal.aborted) return;
    const body = h("div", { class: "evidence-body", tabindex: "-1" });
    this.root.replaceChildren(this.head(cited, paper), this.card(cited), this.tabs(paper, body), body);
    const wanted = this.tab || (hasPages(paper) ? "page" : "text");
    this.open(wanted === "page" && !hasPages(paper) ? "text" : wanted, paper, body, drawing.signal);
  }

  head(cited, paper) {
    const about = paper ? described(paper) : cited.title;
    const many = this.list.length > 1;
    return h(
      "header",
      { class: "evidence-head" },
      h(
        "div",
        { class: "evidence-title" },
        h(this.alone ? "h1" : "h2", { id: "evidence-title" }, paper?.title || cited.title || "Untitled"),
        h("p", { class: "byline" }, paper ? about : ""),
        paper?.metadata?.superseded_by ? h("p", { class: "note problem" }, "A newer version of this paper is in the collection.") : null,
      ),
      h(
        "div",
        { class: "tools" },
        many && iconButton("previous", "Citation before", () => this.step(-1)),
        many && h("span", { class: "count" }, `${this.at + 1} of ${this.list.length}`),
        many && iconButton("next", "Next citation", () => this.step(1)),
        paper && iconButton("copy", "Copy the quote with its reference", (event) => copy(quoted(cited, paper), event.currentTarget)),
        paper?.file && h("a", { class: "icon-button", href: paper.file.url, target: "_blank", rel: "noopener", "aria-label": `Open ${paper.file.name}`, title: `Open ${paper.file.name}` }, icon("open")),
        !this.alone && iconButton("up", "Taller or lower", () => this.root.classList.toggle("full"), { class: "icon-button taller" }),
        !this.alone && iconButton("close", "Close the evidence", () => this.onclose?.()),
      ),
    );
  }

  card(cited) {
    if (!cited.quote) return null;
    return h(
      "section",
      { class: "cited", data: { verdict: cited.verdict ?? "unchecked" }, aria: { label: "What is cited" } },
      h("div", { class: "cited-head" }, cited.number ? h("span", { class: "number" }, String(cited.number)) : null, cited.verdict ? badge(cited.verdict) : null, h("span", { class: "place" }, placeOf(cited))),
      cited.header ? row(cited) : h("blockquote", {}, cited.claim ? shared(cited.quote, cited.claim) : cited.quote),
      cited.reason ? h("p", { class: "reason" }, sentence(cited.reason)) : null,
      cited.against ? against(cited.against, (other) => this.show([...this.list, other], this.list.length, this.asked)) : null,
    );
  }

  tabs(paper, body) {
    const names = { page: "Page", text: "Text", ...(this.asked ? { found: "Also found" } : {}) };
    const bar = h("div", { class: "evidence-tabs", role: "tablist", aria: { label: "How it is shown" } });
    for (const [name, label] of Object.entries(names)) {
      const missing = name === "page" && !hasPages(paper);
      bar.append(
        h(
          "button",
          {
            type: "button",
            role: "tab",
            id: `tab-${name}`,
            disabled: missing,
            title: missing ? (paper.file ? "Only PDF files have pages" : "The file is gone or has changed since it was read") : undefined,
            aria: { selected: "false", controls: "evidence-panel" },
            data: { tab: name },
            onclick: () => {
              this.tab = name;
              this.open(name, paper, body, this.drawing.signal);
            },
            onkeydown: (event) => {
              const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
              if (!step) return;
              const free = [...bar.children].filter((each) => !each.disabled);
              const next = free[(free.indexOf(event.currentTarget) + step + free.length) % free.length];
              next.focus();
              next.click();
            },
          },
          label,
        ),
      );
    }
    body.id = "evidence-panel";
    body.setAttribute("role", "tabpanel");
    return bar;
  }

  async open(name, paper, body, signal) {
    for (const tab of this.root.querySelectorAll("[role=tab]")) {
      const chosen = tab.dataset.tab === name;
      tab.setAttribute("aria-selected", String(chosen));
      tab.tabIndex = chosen ? 0 : -1;
      if (chosen) body.setAttribute("aria-labelledby", tab.id);
    }
    body.dataset.tab = name;
    const cited = this.current;
    const same = this.list.filter((each) => each.document_id === cited.document_id && each.end !== undefined);
    const marks = apart(same, cited).map((each) => ({
      start: each.start,
      end: each.end,
      id: each === cited ? "marked" : undefined,
      class: each === cited ? "now" : "also",
      label: each.number ? `Source ${each.number}` : "Marked text",
      onclick: () => this.onmark(each.number),
      cited: each,
    }));
    if (name === "text") {
      body.replaceChildren(h("div", { class: "paper-text" }, paperText(paper, marks)));
      reveal(body, body.querySelector("#marked"));
    } else if (name === "found") {
      await this.found(paper, body, signal);
    } else {
      body.replaceChildren(h("p", { class: "note" }, "Drawing the page…"));
      try {
        await Promise.all(marks.map(async (mark) => {
          mark.lines = mark.cited === cited ? (paper.marked?.lines ?? []) : await linesOf(paper.id, mark.start, mark.end);
        }));
        const { view, scroll } = await pageView(paper, marks, { signal });
        if (signal.aborted || body.dataset.tab !== "page") return;
        body.replaceChildren(view);
        scroll(body);
      } catch (failure) {
        if (signal.aborted) return;
        body.replaceChildren(
          h("p", { class: "note problem" }, `The page cannot be shown: ${failure.message}. The text can.`),
          h("button", { class: "plain", type: "button", onclick: () => this.open("text", paper, body, signal) }, "Show the text"),
        );
      }
    }
  }

  /** What else the search found in this paper. */
  async found(paper, body, signal) {
    body.replaceChildren(h("p", { class: "note" }, "Searching this paper…"));
    let hits;
    try {
      ({ results: hits } = await api.json("/api/search", { query: this.asked, k: 60 }, { signal }));
    } catch (failure) {
      if (!signal.aborted) body.replaceChildren(h("p", { class: "note problem" }, failure.message));
      return;
    }
    const own = hits.filter((hit) => hit.document_id === paper.id).slice(0, 12);
    body.replaceChildren(
      own.length
        ? h("ol", { class: "hits" }, own.map((hit) => h("li", {}, hitView(hit, () => {
            this.tab = "text";
            this.show([...this.list, asCitation(hit)], this.list.length, this.asked);
          }))))
        : h("p", { class: "note" }, "Nothing else of this paper was found for the question."),
    );
  }
}

/** A passage that was found, as a button that opens it. */
export function hitView(hit, onclick, withTitle = false) {
  return h(
    "button",
    { class: "hit", type: "button", onclick },
    withTitle ? h("span", { class: "hit-title" }, hit.title) : null,
    h("span", { class: "hit-place" }, [hit.section?.at(-1), placeOf(hit)].filter(Boolean).join(" · ")),
    h("span", { class: "hit-text" }, hit.text.length > 420 ? `${hit.text.slice(0, 420)}…` : hit.text),
  );
}

/** A passage as something that can be shown. */
export const asCitation = (hit) => ({ ...hit, quote: hit.text, number: undefined });

/** What another paper says otherwise. */
function against(other, onopen) {
  const quote = other.quote ?? other;
  return h(
    "section",
    { class: "against", aria: { label: "What speaks against it" } },
    h("h3", {}, "Another paper says otherwise"),
    h("blockquote", {}, quote.quote),
    h("p", { class: "reason" }, [quote.title, other.reason].filter(Boolean).join(": ")),
    quote.document_id ? h("button", { class: "plain", type: "button", onclick: () => onopen({ ...quote, reason: other.reason }) }, "Open it") : null,
  );
}

/** *list* without those that overlap an earlier one; *first* is never left out. */
function apart(list, first) {
  const kept = first.end === undefined ? [] : [first];
  for (const each of list) {
    if (each !== first && kept.every((other) => each.end <= other.start || other.end <= each.start)) kept.push(each);
  }
  return kept;
}

function reveal(body, mark) {
  if (!mark) {
    body.scrollTop = 0;
    return;
  }
  const box = mark.getBoundingClientRect();
  body.scrollTop += box.top - body.getBoundingClientRect().top - body.clientHeight / 3;
}

/** The cited row of a table, under its header and caption. */
function row(cited) {
  const cells = (text) => text.split(" | ");
  return h(
    "div",
    { class: "row-scroll", tabindex: "0" },
    h(
      "table",
      { class: "cited-row" },
      cited.caption ? h("caption", {}, cited.caption) : null,
      h("thead", {}, h("tr", {}, cells(cited.header).map((cell) => h("th", { scope: "col" }, cell)))),
      h("tbody", {}, cited.quote.split("\n").map((line) => h("tr", {}, cells(line).map((cell) => h("td", {}, cell))))),
    ),
  );
}

/** The words of *quote*, those set off that *claim* has as well. */
function shared(quote, claim) {
  const words = new Set((claim.toLowerCase().match(/[\p{L}\p{N}][\p{L}\p{N}.,-]*[\p{L}\p{N}]|[\p{L}\p{N}]/gu) ?? []).filter((word) => word.length > 3 || /\d/.test(word)));
  if (claim.trim() === quote.trim()) return quote;
  return quote.split(/([\p{L}\p{N}][\p{L}\p{N}.,-]*[\p{L}\p{N}]|[\p{L}\p{N}])/u).map((piece) => (words.has(piece.toLowerCase()) ? h("b", {}, piece) : piece));
}

export function placeOf(cited) {
  const source = cited.sources?.[0];
  if (source?.page) return `page ${source.page}`;
  if (cited.field) return `metadata: ${cited.field}`;
  return "";
}

export function described(paper) {
  const { authors = [], year, venue } = paper.metadata ?? {};
  const who = authors.length > 3 ? `${authors[0]} and ${authors.length - 1} others` : authors.join(", ");
  return [who, year, venue].filter(Boolean).join(" · ");
}

function quoted(cited, paper) {
  return `“${cited.quote ?? ""}”\n${reference(paper)}${placeOf(cited) ? `, ${placeOf(cited)}` : ""}`;
}
