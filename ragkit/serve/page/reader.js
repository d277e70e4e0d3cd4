// A paper by itself: what an address with `from` and `to` opens.
import { $ } from "./dom.js";
import * as api from "./api.js";
import { Evidence } from "./evidence.js";
import { themeButton } from "./themes.js";
import { keyDialog } from "./keys.js";

themeButton($("theme"));
api.onKeyNeeded(keyDialog);

const id = decodeURIComponent(location.pathname.split("/").at(-1));
const query = new URLSearchParams(location.search);
const evidence = new Evidence($("evidence"), { alone: true });

async function open() {
  const cited = { document_id: id, title: "" };
  if (query.has("to")) {
    cited.start = Number(query.get("from") ?? 0);
    cited.end = Number(query.get("to"));
    try {
      const paper = await api.paper(id, cited.start, cited.end);
      cited.title = paper.title;
      cited.quote = paper.marked?.quote;
      cited.sources = paper.marked?.sources;
      document.title = `${paper.title} · ragkit`;
    } catch {
      // `show` says what is wrong
    }
  }
  await evidence.show([cited], 0);
}

open();
