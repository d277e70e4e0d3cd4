// Light and dark: the system's until one is chosen.
import { icon } from "./dom.js";

const isDark = () => document.documentElement.dataset.theme === "dark";

export function themeButton(button) {
  const draw = () => {
    const other = isDark() ? "light" : "dark";
    button.replaceChildren(icon(other));
    button.setAttribute("aria-label", `Change to ${other} colours`);
    button.title = `Change to ${other} colours`;
  };
  button.addEventListener("click", () => {
    const chosen = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = chosen;
    try {
      localStorage.setItem("ragkit.theme", chosen);
    } catch {
      // it lasts as long as the page
    }
    draw();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  draw();
}
