// References and Markdown of answers.
import * as api from "./api.js";

/** A paper as it is listed under an answer. */
export function reference(paper) {
  const { authors = [], year, venue, doi, arxiv } = paper.metadata ?? paper;
  const who = authors.length > 6 ? `${authors[0]} et al.` : authors.join(", ");
  const link = doi ? `https://doi.org/${doi}` : arxiv ? `arXiv:${arxiv}` : "";
  return [who, `“${paper.title}”`, [venue, year].filter(Boolean).join(" "), link].filter(Boolean).join(". ");
}

/** A conversation as Markdown, each answer with its references. */
export async function asMarkdown(conversation) {
  const parts = [`# ${conversation.title}`];
  for (const { question, answer } of conversation.turns) {
    parts.push(`## ${question}`);
    if (!answer) continue;
    parts.push(answer.answer);
    const lines = [];
    for (const cited of answer.citations ?? []) {
      let listed = cited.title;
      try {
        listed = reference(await api.paper(cited.document_id));
      } catch {
        // the paper is gone: its title remains
      }
      const page = cited.sources?.[0]?.page;
      lines.push(`[${cited.number}] ${listed}${page ? `, page ${page}` : ""}. “${cited.quote}” (${cited.verdict})`);
    }
    if (lines.length) parts.push(lines.join("\n\n"));
  }
  return `${parts.join("\n\n")}\n`;
}
