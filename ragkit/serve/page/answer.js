// One question and its answer, drawn while the events come in.
import { copy, h, icon, iconButton, sentence } from "./dom.js";
import { badge, chip, holds, VERDICTS } from "./verdicts.js";

const STAGES = {
  embed: "Reading the question",
  filter: "Searching",
  retrieve: "Searching",
  fuse: "Comparing what was found",
  read: "Reading passages",
  refine: "Reading passages",
  gate: "Weighing whether they answer",
  generate: "Writing",
  verify: "Checking each sentence",
};

/** A turn of a conversation. `oncite(citations, index, question)` opens a citation, `onsearch` shows passages. */
export class Turn {
  constructor(question, { where, oncite, onsearch }) {
    this.question = question;
    this.oncite = oncite;
    this.onsearch = onsearch;
    this.citations = new Map();
    this.claims = new Map();
    this.lines = []; // of the trace
    this.draft = "";
    this.prose = h("div", { class: "prose", aria: { live: "polite", busy: "true" } });
    this.writing = h("span", { class: "writing", aria: { hidden: "true" } });
    this.stage = h("p", { class: "stage", role: "status" }, h("span", { class: "pulse", aria: { hidden: "true" } }), h("span", {}, "Searching…"));
    this.foot = h("div", { class: "turn-foot" });
    this.element = h(
      "article",
      { class: "turn", aria: { label: question } },
      h("h2", { class: "asked" }, question, where ? h("span", { class: "asked-where" }, where) : null),
      this.stage,
      this.prose,
      this.foot,
    );
  }

  /** Take in an event of the server. */
  take(event) {
    switch (event.type) {
      case "stage":
        this.stage.lastChild.textContent = `${STAGES[event.stage] ?? "Working"}…`;
        break;
      case "trace":
        this.lines.push(event.text);
        break;
      case "token":
        this.draft += event.text;
        this.writing.textContent = this.draft.trimStart();
        if (!this.writing.isConnected) this.prose.append(this.writing);
        break;
      case "citation":
        this.citations.set(event.number, event);
        break;
      case "claim":
        this.claims.set(event.index, event);
        this.draft = "";
        this.writing.remove();
        if (event.shown) this.drawClaims();
        break;
      case "answer":
        this.finish(event);
        break;
    }
  }

  /** The whole answer, from the stream or from a kept conversation. */
  finish(answer) {
    this.answer = answer;
    this.stage.hidden = true;
    this.prose.setAttribute("aria-busy", "false");
    this.writing.remove();
    this.citations = new Map((answer.citations ?? []).map((cited) => [cited.number, cited]));
    const seen = [...this.claims.values()];
    const kept = (answer.claims ?? []).map((claim, index) => ({
      ...claim,
      index,
      shown: true,
      before: claim.before ?? seen.find((each) => each.text === claim.text)?.before ?? (index ? " " : ""),
      reason: claim.reason ?? seen.find((each) => each.text === claim.text)?.reason,
    }));
    const dropped = seen.filter((each) => !each.shown && !kept.some((claim) => claim.text === each.text));
    this.claims = new Map(kept.map((claim) => [claim.index, claim]));
    this.prose.replaceChildren();
    if (answer.abstained) this.prose.append(this.abstention(answer.abstained, kept.length > 0));
    this.drawClaims(true);
    if (dropped.length) this.prose.append(leftOut(dropped));
    this.drawFoot(answer);
  }

  fail(message) {
    this.stage.hidden = true;
    this.prose.setAttribute("aria-busy", "false");
    this.writing.remove();
    this.prose.append(h("p", { class: "note problem", role: "alert" }, message));
  }

  stopped() {
    this.stage.hidden = true;
    this.prose.setAttribute("aria-busy", "false");
    this.writing.remove();
    this.prose.append(h("p", { class: "note" }, "Stopped. What stands above has been checked."));
  }

  /** Draw the claims; those that are there already stay, so that nothing jumps and none is read out twice. */
  drawClaims(whole = false) {
    const shown = [...this.claims.values()].filter((claim) => claim.shown).sort((a, b) => a.index - b.index);
    let block = null;
    const blocks = [];
    for (const claim of shown) {
      const before = claim.before ?? " ";
      const [lead, isItem] = leadOf(before);
      if (!block || before.includes("\n")) {
        block = h("p", { class: isItem ? "item" : undefined }, lead ? h("span", { class: "lead" }, lead) : null);
        blocks.push(block);
      } else block.append(" ");
      block.append(this.claim(claim));
    }
    if (whole) {
      this.prose.append(...blocks);
      return;
    }
    const old = [...this.prose.querySelectorAll(":scope > p")];
    blocks.forEach((each, index) => {
      if (!old[index]) this.prose.append(each);
      else if (old[index].textContent !== each.textContent) old[index].replaceWith(each);
    });
  }

  claim(claim) {
    const cited = (claim.citations ?? []).map((number) => this.citations.get(number)).filter(Boolean);
    const doubted = !holds(claim.verdict);
    const cut = claim.text.lastIndexOf(" ") + 1; // the last word stays with its numbers
    return h(
      "span",
      { class: "claim", tabindex: "0", data: { verdict: claim.verdict }, onkeydown: (event) => event.key === "Enter" && cited.length && this.cite(cited[0].number) },
      h("span", { class: "claim-text" }, claim.text.slice(0, cut)),
      h("span", { class: "tail" }, h("span", { class: "claim-text" }, claim.text.slice(cut)), cited.map((each) => chip(each, (event) => this.cite(each.number, event.currentTarget)))),
      doubted ? h("span", { class: "doubt", title: claim.reason || VERDICTS[claim.verdict]?.[1] }, badge(claim.verdict)) : null,
      claim.against ? h("span", { class: "doubt" }, "another paper says otherwise") : null,
    );
  }

  /** Open the evidence at a number. */
  cite(number, from) {
    const list = [...this.citations.values()].sort((a, b) => a.number - b.number);
    const said = list.map((cited) => {
      const claim = [...this.claims.values()].find((each) => (each.citations ?? []).includes(cited.number));
      return { ...cited, claim: claim?.text, against: claim?.against };
    });
    this.element.querySelectorAll(".chip").forEach((each) => each.removeAttribute("aria-current"));
    const now = from ?? this.element.querySelector(`.chip[data-number="${number}"]`);
    now?.setAttribute("aria-current", "true");
    setTimeout(() => now?.closest(".claim").scrollIntoView({ block: "nearest", behavior: "smooth" }), 60);
    this.oncite(this, said, list.findIndex((cited) => cited.number === number), this.question);
  }

  /** Show which sentence a number belongs to. */
  point(number) {
    const found = this.element.querySelector(`.chip[data-number="${number}"]`);
    if (!found) return;
    this.element.querySelectorAll(".chip").forEach((each) => each.toggleAttribute("aria-current", false));
    found.setAttribute("aria-current", "true");
    found.closest(".claim").scrollIntoView({ block: "nearest", behavior: "smooth" });
    found.focus({ preventScroll: true });
  }

  abstention(abstained, hasPassages) {
    return h(
      "section",
      { class: "abstained", aria: { label: "No answer" } },
      h("h3", {}, hasPassages ? "Nothing that is sure enough to be an answer" : "The papers do not answer this"),
      h("p", {}, sentence(abstained.reason)),
      hasPassages ? h("p", { class: "closest" }, "The closest passages, word for word. They are not an answer:") : null,
      abstained.nearest?.length
        ? h("div", {}, h("p", { class: "closest" }, "Closest papers:"), h("ul", {}, abstained.nearest.map((each) => h("li", {}, each.title ?? each))))
        : null,
      hasPassages ? null : h("button", { class: "plain", type: "button", onclick: () => this.onsearch(this.question) }, icon("search"), "Show the passages that were found"),
    );
  }

  drawFoot(answer) {
    const listed = [...this.citations.values()];
    const share = answer.confidence;
    const took = answer.timings_ms?.total ?? 0;
    this.foot.replaceChildren(
      share !== null && share !== undefined && !answer.abstained && listed.length
        ? h("span", { class: "confidence", title: "Of answers with signs like these, so many were right on the questions that the gate was fitted to" }, meter(share), `${Math.round(share * 100)} % likely right`)
        : "",
      h("span", { class: "space" }),
      took ? h("span", { class: "took" }, took < 950 ? `${Math.round(took)} ms` : `${(took / 1000).toFixed(1)} s`) : "",
      iconButton("trace", "What happened", () => this.toggleTrace(answer), { "aria-expanded": "false" }),
      iconButton("copy", "Copy the answer with its sources", (event) => copy(plain(answer), event.currentTarget)),
    );
    this.trace = null;
  }

  toggleTrace(answer) {
    const button = this.foot.querySelector("[aria-expanded]");
    if (this.trace) {
      this.trace.remove();
      this.trace = null;
      button.setAttribute("aria-expanded", "false");
      return;
    }
    const times = Object.entries(answer.timings_ms ?? {}).filter(([name]) => name !== "total");
    const most = Math.max(...times.map(([, ms]) => ms), 1);
    const used = Object.entries(answer.usage ?? {});
    this.trace = h(
      "section",
      { class: "trace", aria: { label: "What happened" } },
      h(
        "table",
        {},
        h("caption", {}, "Time of each stage"),
        h("tbody", {}, times.map(([name, ms]) => {
          const bar = h("span", { class: "bar-of" });
          bar.style.width = `${(100 * ms) / most}%`;
          return h("tr", {}, h("th", { scope: "row" }, name), h("td", { class: "bar-cell", aria: { hidden: "true" } }, bar), h("td", { class: "figure" }, ms < 1 ? "< 1 ms" : `${Math.round(ms)} ms`));
        })),
      ),
      this.lines.length ? h("details", {}, h("summary", {}, "What each stage found, kept and dropped"), h("pre", { tabindex: "0" }, this.lines.join("\n"))) : null,
      used.length ? h("p", { class: "note" }, used.map(([name, value]) => `${name.replaceAll("_", " ")}: ${value}`).join(", ")) : null,
      h("button", { class: "plain", type: "button", onclick: () => this.onsearch(this.question) }, icon("search"), "Show the passages that were found"),
    );
    this.element.append(this.trace);
    this.trace.scrollIntoView({ block: "nearest", behavior: "smooth" });
    button.setAttribute("aria-expanded", "true");
  }
}

/** What is written before a sentence: a paper's name, and whether the sentence is an item of a list. */
function leadOf(before) {
  const last = before.slice(before.lastIndexOf("\n") + 1);
  const isItem = /^[-*•] ?$/.test(last.trim() ? last : "");
  return [isItem ? "" : before.trim().replace(/:$/, "").replace(/^“(.*)”$/su, "$1"), isItem];
}

function leftOut(claims) {
  const one = claims.length === 1;
  return h(
    "details",
    { class: "left-out" },
    h("summary", {}, `${one ? "1 sentence" : `${claims.length} sentences`} had no support and ${one ? "is" : "are"} left out`),
    h("ul", {}, claims.map((claim) => h("li", {}, h("s", {}, claim.text), claim.reason ? h("span", { class: "reason" }, ` ${claim.reason}`) : null))),
  );
}

function meter(share) {
  const bar = h("span", { class: "meter-bar" });
  bar.style.width = `${Math.round(share * 100)}%`;
  return h("span", { class: "meter", aria: { hidden: "true" } }, bar);
}

function plain(answer) {
  const lines = (answer.citations ?? []).map((cited) => `[${cited.number}] ${cited.title}${cited.sources?.[0]?.page ? `, page ${cited.sources[0].page}` : ""}: “${cited.quote}”`);
  return [answer.answer, ...lines].join("\n\n");
}
