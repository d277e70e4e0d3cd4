// The key of a server that wants one.
import { $, h } from "./dom.js";

/** Ask for the key; empty if none is given. */
export function keyDialog() {
  let dialog = $("dialog");
  if (!dialog) {
    dialog = h("dialog", { id: "dialog", "aria-labelledby": "dialog-title" });
    document.body.append(dialog);
  }
  const input = h("input", { id: "server-key", type: "password", required: true, autocomplete: "off" });
  return new Promise((resolve) => {
    let given = "";
    dialog.replaceChildren(
      h(
        "form",
        {
          class: "dialog-form",
          method: "dialog",
          onsubmit: () => {
            given = input.value.trim();
          },
        },
        h("h2", { id: "dialog-title" }, "This server needs a key"),
        h("label", {}, h("span", {}, "Key"), input),
        h("p", { class: "note" }, "It is kept until this tab is closed."),
        h("div", { class: "row end" }, h("button", { class: "primary", type: "submit" }, "Go on")),
      ),
    );
    dialog.addEventListener("close", () => resolve(given), { once: true });
    dialog.showModal();
    input.focus();
  });
}
