// Conversations and settings, kept in this browser.

const KEY = "ragkit.conversations";
const MOST = 200;

function read(key, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(key)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

/** Write; where the browser's room is used up, the oldest conversations make way. */
function write(key, value) {
  for (let kept = value; ; kept = kept.slice(0, Math.floor(kept.length / 2))) {
    try {
      localStorage.setItem(key, JSON.stringify(kept));
      return;
    } catch {
      if (!Array.isArray(kept) || kept.length < 2) return;
    }
  }
}

/** The conversations, the latest first: {id, title, changed, turns: [{question, where, answer}]}. */
export const conversations = () => read(KEY, []);

export const conversation = (id) => conversations().find((each) => each.id === id);

export function keep(changed) {
  const others = conversations().filter((each) => each.id !== changed.id);
  write(KEY, [{ ...changed, changed: Date.now() }, ...others].slice(0, MOST));
}

export function drop(id) {
  write(KEY, conversations().filter((each) => each.id !== id));
}

export const begun = () => ({ id: crypto.randomUUID?.() ?? String(Date.now()), title: "", changed: Date.now(), turns: [] });

export const setting = (name, otherwise) => read(`ragkit.${name}`, otherwise);

export const set = (name, value) => write(`ragkit.${name}`, value);
