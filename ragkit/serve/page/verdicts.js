// What a verdict is called, and what it promises.
import { h, icon } from "./dom.js";

export const VERDICTS = {
  quoted: ["Quoted", "The paper has these words, character for character."],
  supported: ["Supported", "The verifier found that the quoted passage says it."],
  unresolved: ["Unresolved", "It cannot be told from the passage what the sentence speaks of."],
  unsupported: ["Not supported", "The cited passage does not say it."],
  unchecked: ["Not checked", "No verifier has judged it."],
};

export const holds = (verdict) => verdict === "quoted" || verdict === "supported";

/** The verdict as shape and word. */
export function badge(verdict) {
  const [name, meaning] = VERDICTS[verdict] ?? [verdict, ""];
  return h("span", { class: "badge", data: { verdict }, title: meaning }, icon(verdict in VERDICTS ? verdict : "unchecked"), name);
}

/** A numbered citation: its shape and name tell the verdict, its colour only repeats it. */
export function chip(citation, onclick) {
  const [name] = VERDICTS[citation.verdict] ?? [citation.verdict];
  return h(
    "button",
    {
      class: "chip",
      type: "button",
      data: { verdict: citation.verdict, number: citation.number },
      "aria-label": `Source ${citation.number}, ${name.toLowerCase()}: ${citation.title}`,
      onclick,
    },
    icon(citation.verdict in VERDICTS ? citation.verdict : "unchecked"),
    h("span", {}, String(citation.number)),
  );
}
