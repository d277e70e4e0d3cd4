// A text of one's own, held against the papers claim by claim.
import { copy, download, h, icon, iconButton, sentence } from "./dom.js";
import * as api from "./api.js";
import { badge, holds } from "./verdicts.js";
import { placeOf } from "./evidence.js";

export class CheckView {
  constructor(root, { oncite }) {
    this.root = root;
    this.oncite = oncite;
  }

  show() {
    if (this.built) return;
    this.built = true;
    this.text = h("textarea", { id: "check-text", rows: "8", required: true, maxlength: "1000000", placeholder: "Paste a paragraph: related work, an answer of another tool, an abstract" });
    this.references = h("textarea", { id: "check-references", rows: "3", placeholder: "BibTeX, RIS or a numbered list, if the text cites with [1], \\cite{key} or (Author, 2020)" });
    this.button = h("button", { class: "primary", type: "submit" }, "Check");
    this.result = h("div", { class: "checked", aria: { live: "polite" } });
    this.root.replaceChildren(
      h(
        "div",
        { class: "column" },
        h("h1", {}, "Check a text"),
        h("p", { class: "about" }, "Each claim is held against the collection: what supports it, what speaks against it, and what is missing."),
        h(
          "form",
          {
            class: "check-form",
            onsubmit: (event) => {
              event.preventDefault();
              this.check();
            },
          },
          h("label", { for: "check-text" }, "Text"),
          this.text,
          h("details", {}, h("summary", {}, "What the text cites"), h("label", { class: "unseen", for: "check-references" }, "References"), this.references),
          h("div", { class: "row end" }, this.button),
        ),
        this.result,
      ),
    );
  }

  async check() {
    this.running?.abort();
    this.running = new AbortController();
    this.button.textContent = "Checking…";
    this.button.setAttribute("aria-busy", "true");
    try {
      const found = await api.json("/api/check", { text: this.text.value, references: this.references.value }, { signal: this.running.signal });
      this.draw(found);
    } catch (failure) {
      if (failure.name !== "AbortError") this.result.replaceChildren(h("p", { class: "note problem", role: "alert" }, failure.message));
    } finally {
      this.button.textContent = "Check";
      this.button.removeAttribute("aria-busy");
    }
  }

  draw(found) {
    if (!found.claims.length) {
      this.result.replaceChildren(h("p", { class: "note" }, "The text states nothing that papers could support."));
      return;
    }
    const counts = Object.entries(found.counts).map(([verdict, many]) => h("li", {}, badge(verdict), h("b", {}, String(many))));
    this.result.replaceChildren(
      h("div", { class: "check-head" }, h("h2", {}, found.supported ? "Everything is supported" : "Not everything is supported"), h("ul", { class: "counts" }, counts), h("span", { class: "space" }), iconButton("copy", "Copy as Markdown", (event) => copy(asMarkdown(found), event.currentTarget)), iconButton("save", "Save as Markdown", () => download(asMarkdown(found), "check.md"))),
      h("ol", { class: "verdicts" }, found.claims.map((claim) => this.claim(claim))),
    );
  }

  claim(claim) {
    const shown = claim.quotes?.length ? claim.quotes : [];
    return h(
      "li",
      { class: "verdict-row", data: { verdict: claim.verdict } },
      h("div", { class: "verdict-head" }, badge(claim.verdict)),
      h("p", { class: "claim-text" }, claim.text),
      claim.reason && !holds(claim.verdict) ? h("p", { class: "reason" }, sentence(claim.reason)) : null,
      shown.slice(0, 2).map((quote) => this.quote(quote, claim, holds(quote.verdict) ? "The best quote for it" : "The nearest quote")),
      claim.elsewhere ? this.quote(claim.elsewhere, claim, "Another paper of the collection says it") : null,
      claim.against ? this.quote(claim.against.quote ?? claim.against, claim, "What speaks against it", claim.against.reason) : null,
      claim.missing?.length ? h("p", { class: "reason" }, `Missing: ${claim.missing.join(", ")}`) : null,
    );
  }

  quote(quote, claim, label, reason) {
    return h(
      "button",
      { class: "hit", type: "button", onclick: () => this.oncite([{ ...quote, claim: claim.claim ?? claim.text, reason: reason ?? quote.reason }], 0) },
      h("span", { class: "hit-label" }, label),
      h("span", { class: "hit-text" }, `“${quote.quote}”`),
      h("span", { class: "hit-place" }, icon("open"), [quote.title, placeOf(quote)].filter(Boolean).join(", ")),
    );
  }
}

function asMarkdown(found) {
  const rows = found.claims.map((claim) => {
    const quote = claim.quotes?.[0] ?? claim.elsewhere;
    const source = quote ? `\n  > “${quote.quote}” — ${quote.title}${placeOf(quote) ? `, ${placeOf(quote)}` : ""}` : "";
    return `- **${claim.verdict}**: ${claim.text}${claim.reason ? ` (${claim.reason})` : ""}${source}`;
  });
  return `# Check\n\n${rows.join("\n")}\n`;
}
