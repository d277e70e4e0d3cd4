// The page: views, conversations, the question that is being answered, and what keys do.
import { $, announce, download, h, icon, iconButton } from "./dom.js";
import * as api from "./api.js";
import * as store from "./store.js";
import { Turn } from "./answer.js";
import { CheckView } from "./check.js";
import { asCitation, Evidence, hitView } from "./evidence.js";
import { Filters } from "./filters.js";
import { keyDialog } from "./keys.js";
import { Papers } from "./papers.js";
import { asMarkdown } from "./reference.js";
import { themeButton } from "./themes.js";

const turns = $("turns");
const question = $("question");
const send = $("send");
const panel = $("evidence");

let talk = store.begun(); // the conversation that is shown
let shown = []; // its turns
let asking = null; // what aborts the question that is being answered
let returnTo = null; // where the focus goes when the evidence is closed
let cited = null; // the turn whose citation is open

// --- evidence

const evidence = new Evidence(panel, {
  onclose: closeEvidence,
  onmark: (number) => number && cited?.point(number),
});

function openEvidence(turn, list, at, asked) {
  if (at < 0) return;
  cited = turn;
  returnTo = document.activeElement;
  $("shell").dataset.evidence = "open";
  $("splitter").hidden = false;
  evidence.show(list, at, asked);
}

function closeEvidence() {
  if (panel.hidden) return;
  panel.hidden = true;
  $("splitter").hidden = true;
  delete $("shell").dataset.evidence;
  turns.querySelectorAll(".chip[aria-current]").forEach((each) => each.removeAttribute("aria-current"));
  returnTo?.focus();
}

function openPaper(paper) {
  openEvidence(null, [{ document_id: paper.id, title: paper.title }], 0, "");
}

function splitter() {
  const bar = $("splitter");
  const put = (share) => {
    const kept = Math.min(70, Math.max(25, share));
    $("shell").style.setProperty("--evidence", `${kept}%`);
    bar.setAttribute("aria-valuenow", String(Math.round(kept)));
    store.set("evidence", kept);
  };
  bar.setAttribute("aria-valuemin", "25");
  bar.setAttribute("aria-valuemax", "70");
  put(store.setting("evidence", 45));
  bar.addEventListener("pointerdown", (down) => {
    bar.setPointerCapture(down.pointerId);
    const move = (event) => put((100 * (innerWidth - event.clientX)) / innerWidth);
    bar.addEventListener("pointermove", move);
    bar.addEventListener("pointerup", () => bar.removeEventListener("pointermove", move), { once: true });
  });
  bar.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: 3, ArrowRight: -3 }[event.key];
    if (step) put(store.setting("evidence", 45) + step);
  });
}

// --- asking

const filters = new Filters($("filters"));

const newTurn = (text, where) => new Turn(text, { where, oncite: openEvidence, onsearch: (asked) => showPassages(asked, where) });

async function ask(text) {
  const where = filters.where;
  const turn = newTurn(text, where);
  if (!shown.length) turns.replaceChildren();
  shown.push(turn);
  turns.append(turn.element);
  turn.element.scrollIntoView({ block: "start", behavior: "smooth" });
  question.value = "";
  fit();
  const history = talk.turns.filter((each) => each.answer).flatMap((each) => [
    { role: "user", content: each.question },
    { role: "assistant", content: each.answer.answer },
  ]);
  asking = new AbortController();
  drawSend();
  const body = { question: text, history: history.slice(-20), stream: true, trace: true, ...(where ? { where } : {}), ...($("model").value ? { model: $("model").value } : {}) };
  try {
    for await (const event of api.events("/api/ask", body, { signal: asking.signal })) {
      if (event.type === "error") turn.fail(event.message);
      else turn.take(event);
    }
    if (turn.answer) {
      const before = [...turn.claims.values()];
      const kept = { ...turn.answer, claims: turn.answer.claims.map((claim, index) => ({ ...claim, before: before[index]?.before, reason: before[index]?.reason })) };
      talk.title ||= text.slice(0, 120);
      talk.turns.push({ question: text, where, answer: kept });
      store.keep(talk);
      address(talk.id);
    }
  } catch (failure) {
    if (failure.name === "AbortError") turn.stopped();
    else turn.fail(failure.message);
  } finally {
    asking = null;
    drawSend();
  }
}

/** The passages for a question, beside the conversation. */
async function showPassages(asked, where) {
  returnTo = document.activeElement;
  $("shell").dataset.evidence = "open";
  $("splitter").hidden = false;
  panel.hidden = false;
  const head = h("header", { class: "evidence-head" }, h("div", { class: "evidence-title" }, h("h2", {}, "Passages found"), h("p", { class: "byline" }, asked)), h("div", { class: "tools" }, iconButton("close", "Close the evidence", closeEvidence)));
  const body = h("div", { class: "evidence-body" }, h("p", { class: "note" }, "Searching…"));
  panel.replaceChildren(head, body);
  try {
    const { results } = await api.json("/api/search", { query: asked, k: 15, ...(where ? { where } : {}) });
    const list = results.map(asCitation);
    body.replaceChildren(results.length ? h("ol", { class: "hits" }, results.map((hit, at) => h("li", {}, hitView(hit, () => evidence.show(list, at, asked), true)))) : h("p", { class: "note" }, "Nothing was found."));
  } catch (failure) {
    body.replaceChildren(h("p", { class: "note problem" }, failure.message));
  }
}

function drawSend() {
  send.replaceChildren(icon(asking ? "stop" : "send"));
  send.setAttribute("aria-label", asking ? "Stop" : "Ask");
  send.title = asking ? "Stop (Esc)" : "Ask (Enter)";
  send.classList.toggle("stopping", Boolean(asking));
}

function fit() {
  question.style.height = "auto";
  question.style.height = `${Math.min(question.scrollHeight, 220)}px`;
}

$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  if (asking) asking.abort();
  else if (question.value.trim()) ask(question.value.trim());
});
question.addEventListener("input", fit);
question.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    if (!asking) $("composer").requestSubmit();
  }
});

// --- conversations

const address = (id) => history.replaceState(null, "", id ? `#/c/${id}` : "#/");

function openTalk(kept) {
  talk = kept ?? store.begun();
  shown = talk.turns.map((each) => {
    const turn = newTurn(each.question, each.where);
    turn.finish(each.answer);
    return turn;
  });
  turns.replaceChildren(...(shown.length ? shown.map((turn) => turn.element) : [welcome()]));
  closeEvidence();
  if (shown.length) shown.at(-1).element.scrollIntoView({ block: "start" });
}

function welcome() {
  return h(
    "div",
    { class: "welcome" },
    h("h1", {}, "What do the papers say?"),
    h("p", {}, "Every sentence of an answer names the paper, the exact words that support it, and a verdict. Open a number to read them where they stand."),
    h("p", { class: "start" }, "There are no papers yet. ", h("a", { href: "#/papers" }, "Add papers"), " to begin."),
    h("ul", { class: "legend" }, ["quoted", "supported", "unresolved", "unsupported"].map((verdict) => h("li", {}, legend(verdict)))),
  );
}

function legend(verdict) {
  const said = { quoted: "word for word in the paper", supported: "found by the verifier to follow", unresolved: "cannot be told", unsupported: "the passage does not say it" };
  const names = { quoted: "Quoted", supported: "Supported", unresolved: "Unresolved", unsupported: "Not supported" };
  return [h("span", { class: "badge", data: { verdict } }, icon(verdict), names[verdict]), h("span", {}, said[verdict])];
}

function drawDrawer() {
  const kept = store.conversations();
  $("drawer").replaceChildren(
    h("div", { class: "drawer-head" }, h("h2", {}, "Conversations"), iconButton("close", "Close", toggleDrawer)),
    h("button", { class: "primary wide", type: "button", onclick: () => { toggleDrawer(); location.hash = "#/"; openTalk(); question.focus(); } }, icon("add"), "New conversation"),
    kept.length
      ? h("ul", { class: "talks" }, kept.map((each) => h("li", { class: each.id === talk.id ? "now" : undefined }, h("a", { href: `#/c/${each.id}`, onclick: toggleDrawer }, h("span", {}, each.title || "Untitled"), h("small", {}, `${new Date(each.changed).toLocaleDateString()} · ${each.turns.length === 1 ? "1 question" : `${each.turns.length} questions`}`)), iconButton("save", "Save as Markdown", async () => download(await asMarkdown(each), "conversation.md")), iconButton("remove", "Forget this conversation", () => { store.drop(each.id); if (each.id === talk.id) { address(); openTalk(); } drawDrawer(); }))))
      : h("p", { class: "note" }, "Conversations are kept in this browser, and nowhere else."),
  );
}

function toggleDrawer() {
  const drawer = $("drawer");
  const opening = drawer.hidden;
  if (opening) drawDrawer();
  drawer.hidden = !opening;
  $("scrim").hidden = !opening;
  $("open-drawer").setAttribute("aria-expanded", String(opening));
  (opening ? drawer.querySelector("button") : $("open-drawer")).focus();
}

// --- views

const papers = new Papers($("view-papers"), { onopen: openPaper, onchange: drawCorpus });
const check = new CheckView($("view-check"), { oncite: (list, at) => openEvidence(null, list, at, "") });

function route() {
  const [, first, id] = location.hash.split("/");
  const view = first === "papers" || first === "check" ? first : "ask";
  for (const section of document.querySelectorAll(".view")) section.hidden = section.id !== `view-${view}`;
  for (const link of document.querySelectorAll("[data-view]")) {
    if (link.dataset.view === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = view === "ask" ? "ragkit" : `${view === "papers" ? "Papers" : "Check"} · ragkit`;
  if (view === "papers") papers.show();
  else if (view === "check") check.show();
  else if (first === "c" && id !== talk.id) openTalk(store.conversation(id));
  else if (!shown.length && !turns.childElementCount) openTalk();
}

async function drawCorpus() {
  try {
    const config = await api.json("/api/config");
    const { papers: many, passages } = config.corpus;
    $("view-ask").toggleAttribute("data-empty", !many);
    $("corpus").textContent = many ? `${config.corpus.name} · ${many === 1 ? "1 paper" : `${many.toLocaleString("en")} papers`}` : "no papers yet";
    $("corpus").title = `${passages.toLocaleString("en")} passages`;
    const model = $("model");
    model.replaceChildren(...config.configurations.map((each) => h("option", { value: each.name, selected: each.name === config.default }, each.name)));
    model.hidden = config.configurations.length < 2;
  } catch (failure) {
    $("corpus").textContent = failure.message;
  }
}

// --- keys

const KEYS = [
  ["/", "Write a question"],
  ["j, k", "Next sentence, sentence before"],
  ["1 to 9", "Open that citation"],
  ["o", "Open the citation of this sentence"],
  ["[, ]", "Citation before, next citation"],
  ["t", "What happened with the last question"],
  ["Esc", "Stop, or close what is open"],
  ["?", "This list"],
];

function showKeys() {
  const dialog = $("dialog");
  dialog.replaceChildren(
    h("div", { class: "dialog-form" }, h("h2", { id: "dialog-title" }, "Keys"), h("dl", { class: "keys" }, KEYS.map(([key, what]) => [h("dt", {}, key.split(", ").map((each, at) => [at ? ", " : "", h("kbd", {}, each)])), h("dd", {}, what)])), h("div", { class: "row end" }, h("button", { class: "primary", type: "button", onclick: () => dialog.close() }, "Close"))),
  );
  dialog.showModal();
}

function stepClaim(by) {
  const claims = [...turns.querySelectorAll(".claim")];
  if (!claims.length) return;
  const at = claims.findIndex((each) => each === document.activeElement || each.contains(document.activeElement));
  const next = claims[at < 0 ? (by > 0 ? 0 : claims.length - 1) : Math.min(claims.length - 1, Math.max(0, at + by))];
  next.focus();
  next.scrollIntoView({ block: "nearest" });
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || $("dialog").open) return;
  if (event.key === "Escape") {
    if (!$("drawer").hidden) toggleDrawer();
    else if (asking) asking.abort();
    else closeEvidence();
    return;
  }
  if (event.target.closest("input, textarea, select")) return;
  const last = shown.at(-1);
  const focused = document.activeElement.closest?.(".claim");
  const does = {
    "/": () => { location.hash = talk.turns.length ? `#/c/${talk.id}` : "#/"; question.focus(); },
    j: () => stepClaim(1),
    k: () => stepClaim(-1),
    o: () => focused?.querySelector(".chip")?.click(),
    t: () => last?.answer && last.toggleTrace(last.answer),
    "[": () => !panel.hidden && evidence.step(-1),
    "]": () => !panel.hidden && evidence.step(1),
    "?": showKeys,
  }[event.key];
  if (does) {
    event.preventDefault();
    does();
  } else if (/^[1-9]$/.test(event.key) && last?.citations.has(Number(event.key))) {
    last.cite(Number(event.key));
  }
});

// --- begin

$("open-drawer").append(icon("menu"));
$("open-drawer").addEventListener("click", toggleDrawer);
$("scrim").addEventListener("click", toggleDrawer);
$("help").append(icon("help"));
$("help").addEventListener("click", showKeys);
themeButton($("theme"));
api.onKeyNeeded(keyDialog);
splitter();
drawSend();
addEventListener("hashchange", route);
route();
drawCorpus();
if (!matchMedia("(pointer: coarse)").matches) question.focus();
announce("");
