// Pages of a PDF as pdf.js draws them, with boxes where the text that is marked stands.
import { h } from "./dom.js";
import { get, json } from "./api.js";

let library;

async function pdfjs() {
  library ??= import("./vendor/pdfjs/pdf.min.mjs").then((module) => {
    module.GlobalWorkerOptions.workerSrc = new URL("./vendor/pdfjs/pdf.worker.min.mjs", import.meta.url).href;
    return module;
  });
  return library;
}

const opened = new Map();

async function documentOf(paper) {
  const { url, digest } = paper.file;
  if (!opened.has(digest)) {
    const loading = (async () => {
      const response = await get(url);
      if (response.headers.get("x-file-digest") !== digest) throw new Error("the file has changed since it was read");
      const { getDocument } = await pdfjs();
      const data = await response.arrayBuffer();
      return getDocument({ data, useSystemFonts: true, isEvalSupported: false, useWasm: false, stopAtErrors: false }).promise;
    })();
    loading.catch(() => opened.delete(digest));
    opened.set(digest, loading);
    if (opened.size > 4) {
      const [oldest, document] = opened.entries().next().value;
      opened.delete(oldest);
      document.then((each) => each.destroy(), () => {});
    }
  }
  return opened.get(digest);
}

/** Can the pages of *paper* be shown? */
export const hasPages = (paper) => paper.file?.type === "application/pdf" && paper.pages > 0;

/** The pages of *paper*, those in sight drawn; `marks` are {lines, class, label, onclick}, the first one to begin with.

`scroll` brings the first mark into sight of an element that scrolls. */
export async function pageView(paper, marks, { signal } = {}) {
  const document = await documentOf(paper);
  const boxes = new Map(); // by page: [box, mark]
  for (const mark of marks) {
    for (const line of mark.lines ?? []) {
      if (line.box) boxes.set(line.page, [...(boxes.get(line.page) ?? []), [line.box, mark]]);
    }
  }
  const view = h("div", { class: "pages" });
  const first = await document.getPage(1);
  const size = first.getViewport({ scale: 1 });
  const sheets = Array.from({ length: document.numPages }, (_, index) => {
    const sheet = h("figure", { class: "sheet", data: { page: index + 1 }, aria: { label: `Page ${index + 1}` } });
    sheet.style.aspectRatio = `${size.width} / ${size.height}`;
    return sheet;
  });
  view.append(...sheets);
  const seen = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting || target.dataset.drawn) continue;
        target.dataset.drawn = "yes";
        draw(document, target, boxes.get(Number(target.dataset.page)) ?? []).catch((failure) => {
          target.append(h("p", { class: "note" }, `This page cannot be drawn: ${failure.message}.`));
        });
      }
    },
    { rootMargin: "600px" },
  );
  for (const sheet of sheets) seen.observe(sheet);
  signal?.addEventListener("abort", () => seen.disconnect());
  const line = marks[0]?.lines?.find((each) => each.box);
  const sheet = sheets[(line?.page ?? 1) - 1];
  const above = line ? await shareAbove(document, line) : 0;
  const scroll = (body) => {
    body.scrollTop = sheet.offsetTop - view.offsetTop + Math.max(0, above * sheet.clientHeight - body.clientHeight / 3);
  };
  return { view, scroll };
}

/** The share of the page that is above a line. */
async function shareAbove(document, line) {
  const page = await document.getPage(line.page);
  return line.box[1] / page.getViewport({ scale: 1 }).height;
}

async function draw(document, sheet, boxes) {
  const page = await document.getPage(Number(sheet.dataset.page));
  const unscaled = page.getViewport({ scale: 1 });
  sheet.style.aspectRatio = `${unscaled.width} / ${unscaled.height}`;
  const width = sheet.clientWidth || 600;
  const dense = Math.min(window.devicePixelRatio || 1, 2.5);
  const viewport = page.getViewport({ scale: width / unscaled.width });
  const canvas = h("canvas", { role: "img", "aria-label": `Page ${sheet.dataset.page}` });
  canvas.width = Math.floor(viewport.width * dense);
  canvas.height = Math.floor(viewport.height * dense);
  sheet.append(canvas);
  for (const [[left, top, right, bottom], mark] of boxes) { // in points of the page as it is shown
    const box = h("button", { class: `box ${mark.class ?? ""}`, type: "button", "aria-label": mark.label ?? "Marked text", onclick: mark.onclick });
    box.style.left = `${(100 * left) / unscaled.width}%`;
    box.style.top = `${(100 * top) / unscaled.height}%`;
    box.style.width = `${(100 * (right - left)) / unscaled.width}%`;
    box.style.height = `${(100 * (bottom - top)) / unscaled.height}%`;
    sheet.append(box);
  }
  await page.render({ canvas, viewport, transform: [dense, 0, 0, dense, 0, 0] }).promise;
  sheet.dataset.ready = "yes";
}

/** The lines of *paper* that have characters from *start* to *end*. */
export async function linesOf(id, start, end) {
  return (await json(`/papers/${encodeURIComponent(id)}?from=${start}&to=${end}`)).marked?.lines ?? [];
}
