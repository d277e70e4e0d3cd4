// Shows the text of a paper as text, and marks the characters that the address names.
const reply = await fetch(location.pathname + location.search, { headers: { accept: "application/json" } });
const paper = await reply.json();
const [title, problem, text] = ["h1", "p", "pre"].map((name) => document.querySelector(name));
if (!reply.ok) {
  problem.textContent = paper.error.message;
} else {
  document.title = title.textContent = paper.title;
  const letters = Array.from(paper.text); // offsets count code points
  const part = (start, end) => letters.slice(start, end).join("");
  const { start, end } = paper.marked ?? { start: 0, end: 0 };
  const mark = document.createElement("mark");
  mark.textContent = part(start, end);
  text.append(part(0, start), mark, part(end));
  mark.scrollIntoView({ block: "center" });
}
