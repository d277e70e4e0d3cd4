// Filters as chips: each a field, a comparison and a value; together they are the server's `where`.
import { $, h, icon } from "./dom.js";

const FIELDS = {
  year: ["Year", [">=", "<=", "="]],
  authors: ["Author", ["contains"]],
  title: ["Title", ["contains"]],
  venue: ["Venue", ["contains", "="]],
  section: ["Section", ["contains"]],
};
const SAID = { ">=": "from", "<=": "until", "=": "is", contains: "contains" };

/** Chips in *root*, and a small form that adds one. */
export class Filters {
  constructor(root, onchange = () => {}) {
    this.root = root;
    this.onchange = onchange;
    this.list = [];
    this.draw();
  }

  /** The filter as the server takes it; empty for none. */
  get where() {
    return this.list.map(({ field, how, value }) => `${field} ${how} ${/^\d+$/.test(value) ? value : JSON.stringify(value)}`).join(" and ");
  }

  draw() {
    this.root.replaceChildren(
      ...this.list.map((filter, index) =>
        h(
          "span",
          { class: "filter" },
          `${FIELDS[filter.field][0]} ${SAID[filter.how]} ${filter.value}`,
          h("button", { type: "button", "aria-label": `Without the filter on ${FIELDS[filter.field][0].toLowerCase()}`, onclick: () => this.change(this.list.filter((_, at) => at !== index)) }, icon("close")),
        ),
      ),
      h("button", { class: "add-filter", type: "button", onclick: () => this.ask() }, icon("add"), this.list.length ? "Filter" : "Add a filter"),
    );
  }

  change(list) {
    this.list = list;
    this.draw();
    this.onchange(this.where);
  }

  ask() {
    const dialog = $("dialog");
    const field = h("select", { id: "filter-field" }, Object.entries(FIELDS).map(([name, [said]]) => h("option", { value: name }, said)));
    const how = h("select", { id: "filter-how" });
    const value = h("input", { id: "filter-value", required: true, maxlength: "200", autocomplete: "off" });
    const choose = () => {
      how.replaceChildren(...FIELDS[field.value][1].map((each) => h("option", { value: each }, SAID[each])));
      value.inputMode = field.value === "year" ? "numeric" : "text";
      value.pattern = field.value === "year" ? "\\d{4}" : ".*";
      value.placeholder = field.value === "year" ? "2023" : "";
    };
    field.addEventListener("change", choose);
    choose();
    dialog.replaceChildren(
      h(
        "form",
        {
          class: "dialog-form",
          method: "dialog",
          onsubmit: (event) => {
            event.preventDefault();
            dialog.close();
            this.change([...this.list, { field: field.value, how: how.value, value: value.value.trim() }]);
          },
        },
        h("h2", { id: "dialog-title" }, "Only papers where"),
        h("div", { class: "row" }, h("label", {}, h("span", {}, "Field"), field), h("label", {}, h("span", {}, "Is"), how), h("label", { class: "wide" }, h("span", {}, "Value"), value)),
        h("div", { class: "row end" }, h("button", { class: "plain", type: "button", onclick: () => dialog.close() }, "Cancel"), h("button", { class: "primary", type: "submit" }, "Add")),
      ),
    );
    dialog.showModal();
    value.focus();
  }
}
