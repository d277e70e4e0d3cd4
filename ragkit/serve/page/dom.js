// Elements without markup: text is always text, so nothing that a paper holds can become an element.

/** An element. `props`: `class`, `on…` listeners, `data` and `aria` objects, properties, else attributes. */
export function h(tag, props, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") element.className = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "data") Object.assign(element.dataset, value);
    else if (name === "aria") for (const [key, said] of Object.entries(value)) element.setAttribute(`aria-${key}`, said);
    else if (name in element && typeof value !== "string") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const $ = (id) => document.getElementById(id);

const PATHS = {
  menu: "M4 6.5h16M4 12h16M4 17.5h10",
  send: "M5 12h13M12.5 6l6 6-6 6",
  stop: "M8 8h8v8H8z",
  close: "M6 6l12 12M18 6 6 18",
  previous: "M14.5 6l-6 6 6 6",
  next: "M9.5 6l6 6-6 6",
  copy: "M9 9h10v10H9zM15 9V5H5v10h4",
  open: "M13 5h6v6M19 5l-8 8M10 6H6v12h12v-4",
  light: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2.5v2M12 19.5v2M2.5 12h2M19.5 12h2M5.3 5.3l1.4 1.4M17.3 17.3l1.4 1.4M18.7 5.3l-1.4 1.4M6.7 17.3l-1.4 1.4",
  dark: "M19.5 14.2A8 8 0 1 1 9.8 4.5a6.4 6.4 0 0 0 9.7 9.7z",
  help: "M9 9.2a3 3 0 1 1 4.3 2.7c-.9.5-1.3 1-1.3 2.1M12 17.4v.1",
  add: "M12 5.5v13M5.5 12h13",
  remove: "M5 7h14M10 7V5h4v2M7 7l.8 12h8.4L17 7",
  upload: "M12 16V5M7.5 9.5 12 5l4.5 4.5M5 19h14",
  save: "M12 5v11M7.5 11.5 12 16l4.5-4.5M5 19.5h14",
  trace: "M5 18V9M10 18V5M15 18v-6M20 18v-9",
  search: "M11 5a6 6 0 1 0 0 12 6 6 0 0 0 0-12zM15.5 15.5 20 20",
  up: "M6 14.5l6-6 6 6",
  // Verdicts, each of a shape of its own.
  quoted: "M7 14.5c1.6 0 2.4-1 2.4-2.5S8.600 9.500 7.300 9.500 5 10.500 5 12c0 3 2 5 4 5.500M15 14.500c1.600 0 2.400-1 2.400-2.500s-.8-2.500-2.100-2.500S13 10.500 13 12c0 3 2 5 4 5.500",
  supported: "M5.500 12.500l4.300 4.300 9-9.500",
  unresolved: "M4.500 13.500c2.500-4 5-4 7.500-1.500s5 2.500 7.500-1.500",
  unsupported: "M12 5v9M12 18.500v.1",
  unchecked: "M12 6.500a5.500 5.500 0 1 0 0 11 5.500 5.500 0 0 0 0-11z",
};

/** A drawing of 24 by 24; it is hidden from screen readers, so what it means must be said beside it. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", `icon icon-${name}`);
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

/** A button with a drawing only, and its name for everybody else. */
export function iconButton(name, label, onclick, extra = {}) {
  return h("button", { class: "icon-button", type: "button", "aria-label": label, title: label, onclick, ...extra }, icon(name));
}

/** *text*, a message or a reason, as a sentence. */
export function sentence(text) {
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(whole) ? whole : `${whole}.`;
}

/** Say something to screen readers alone. */
export function announce(text) {
  $("status").textContent = text;
}

/** Put *text* on the clipboard, and say so. */
export async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = h("textarea", { class: "unseen" });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  announce("Copied");
  button.classList.add("done");
  setTimeout(() => button.classList.remove("done"), 1200);
}

/** Save *text* as a file. */
export function download(text, name, type = "text/markdown") {
  const url = URL.createObjectURL(new Blob([text], { type }));
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}
