// The list of papers: filter, sort, upload, open, remove.
import { $, announce, h, icon, iconButton } from "./dom.js";
import * as api from "./api.js";
import { described } from "./evidence.js";
import { Filters } from "./filters.js";

const PAGE = 50;
const SORTS = { title: "Title", "-year": "Newest", year: "Oldest", author: "First author", venue: "Venue", "-passages": "Longest" };

/** The view of the papers; `onopen` shows one, `onchange` says that there are others now. */
export class Papers {
  constructor(root, { onopen, onchange }) {
    this.root = root;
    this.onopen = onopen;
    this.onchange = onchange;
    this.offset = 0;
  }

  build() {
    this.built = true;
    const bar = h("div", { class: "filters" });
    this.filters = new Filters(bar, () => this.load(0));
    this.sort = h("select", { "aria-label": "Order", onchange: () => this.load(0) }, Object.entries(SORTS).map(([name, said]) => h("option", { value: name }, said)));
    this.input = h("input", { type: "file", multiple: true, class: "unseen", id: "upload", onchange: () => this.upload([...this.input.files]) });
    this.count = h("p", { class: "count", role: "status" });
    this.list = h("ul", { class: "papers" });
    this.more = h("div", { class: "more" });
    this.progress = h("div", { class: "uploads", aria: { live: "polite" } });
    const drop = h(
      "label",
      { class: "drop", for: "upload" },
      icon("upload"),
      h("span", {}, h("b", {}, "Add papers"), " — drop files here, or choose them: PDF, LaTeX, JATS, HTML, Word, Markdown, bibliographies"),
    );
    for (const name of ["dragenter", "dragover"]) {
      this.root.addEventListener(name, (event) => {
        if (!event.dataTransfer?.types.includes("Files")) return;
        event.preventDefault();
        drop.classList.add("over");
      });
    }
    this.root.addEventListener("dragleave", (event) => event.relatedTarget && this.root.contains(event.relatedTarget) ? null : drop.classList.remove("over"));
    this.root.addEventListener("drop", (event) => {
      event.preventDefault();
      drop.classList.remove("over");
      if (event.dataTransfer.files.length) this.upload([...event.dataTransfer.files]);
    });
    this.root.replaceChildren(h("div", { class: "column" }, h("h1", {}, "Papers"), this.input, drop, this.progress, h("div", { class: "list-bar" }, bar, h("span", { class: "space" }), this.count, this.sort), this.list, this.more));
  }

  async show() {
    if (!this.built) this.build();
    await this.load(0);
  }

  async load(offset) {
    const query = new URLSearchParams({ sort: this.sort.value, offset, limit: PAGE });
    if (this.filters.where) query.set("where", this.filters.where);
    let found;
    try {
      found = await api.json(`/api/papers?${query}`);
    } catch (failure) {
      this.list.replaceChildren(h("li", { class: "note problem" }, failure.message));
      return;
    }
    const rows = found.papers.map((paper) => this.row(paper));
    if (offset === 0) this.list.replaceChildren(...rows);
    else this.list.append(...rows);
    if (!found.total) this.list.replaceChildren(h("li", { class: "note" }, this.filters.where ? "No paper passes the filter." : "There are no papers yet. Add some above."));
    this.count.textContent = found.total === 1 ? "1 paper" : `${found.total} papers`;
    const next = offset + PAGE;
    this.more.replaceChildren(next < found.total ? h("button", { class: "plain", type: "button", onclick: () => this.load(next) }, `Show ${Math.min(PAGE, found.total - next)} more`) : "");
  }

  row(paper) {
    const counted = (number, thing) => `${number} ${thing}${number === 1 ? "" : "s"}`;
    const size = [paper.pages ? counted(paper.pages, "page") : "", counted(paper.passages, "passage"), paper.superseded_by ? "older version" : "", paper.files?.length > 1 ? `${paper.files.length} files merged` : ""];
    return h(
      "li",
      { class: "paper" },
      h("button", { class: "paper-open", type: "button", onclick: () => this.onopen(paper) }, h("span", { class: "paper-title" }, paper.title || "Untitled"), h("span", { class: "byline" }, described({ metadata: paper })), h("span", { class: "paper-size" }, size.filter(Boolean).join(" · "))),
      iconButton("remove", `Remove ${paper.title}`, () => this.confirm(paper)),
    );
  }

  confirm(paper) {
    const dialog = $("dialog");
    dialog.replaceChildren(
      h(
        "form",
        {
          class: "dialog-form",
          method: "dialog",
          onsubmit: async (event) => {
            event.preventDefault();
            dialog.close();
            try {
              await api.remove(`/api/papers/${encodeURIComponent(paper.id)}`);
              api.forget();
              announce("The paper is removed");
              this.onchange();
              await this.load(0);
            } catch (failure) {
              this.progress.prepend(h("p", { class: "note problem" }, failure.message));
            }
          },
        },
        h("h2", { id: "dialog-title" }, "Remove this paper?"),
        h("p", {}, `“${paper.title}” will no longer be searched or cited. Files outside the collection's own folder stay where they are.`),
        h("div", { class: "row end" }, h("button", { class: "plain", type: "button", onclick: () => dialog.close() }, "Keep it"), h("button", { class: "primary danger", type: "submit" }, "Remove")),
      ),
    );
    dialog.showModal();
  }

  async upload(files) {
    if (!files.length) return;
    this.input.value = "";
    const bar = h("progress", { max: 1, "aria-label": "Reading" });
    const said = h("span", { class: "upload-said" }, "Sending…");
    const card = h("div", { class: "upload" }, h("b", {}, files.length === 1 ? files[0].name : `${files.length} files`), said, bar);
    this.progress.prepend(card);
    const body = new FormData();
    for (const file of files) body.append("files", file);
    try {
      for await (const event of api.events("/api/papers", body)) {
        if (event.type === "progress") {
          said.textContent = { read: "Reading", chunk: "Cutting into passages", embed: "Encoding", keys: "Writing keys", index: "Indexing" }[event.stage] ?? event.stage;
          if (event.total) {
            bar.max = event.total;
            bar.value = event.done;
          }
        } else if (event.type === "report") {
          card.replaceChildren(...this.outcome(event));
        } else if (event.type === "error") {
          card.replaceChildren(h("p", { class: "note problem" }, event.message));
        }
      }
    } catch (failure) {
      card.replaceChildren(h("p", { class: "note problem" }, failure.message));
    }
    api.forget();
    this.onchange();
    await this.load(0);
  }

  outcome(report) {
    const failed = report.failed ?? [];
    const added = report.papers ?? [];
    return [
      added.length ? h("p", {}, icon("supported"), added.length === 1 ? "Added " : `Added ${added.length} papers: `, added.map((paper, index) => [index ? ", " : "", h("button", { class: "inline", type: "button", onclick: () => this.onopen({ ...paper }) }, paper.title || "Untitled")])) : null,
      ...failed.map((each) => h("p", { class: "note problem" }, `${each.source}: ${each.error}`)),
      ...(report.hidden ?? []).map((each) => h("p", { class: "note" }, `${each.source ?? each.title}: has text that a reader of the page does not see; it is not answered from.`)),
      h("button", { class: "plain", type: "button", onclick: (event) => event.currentTarget.parentElement.remove() }, "Dismiss"),
    ].filter(Boolean);
  }
}
