// Before anything is drawn: the colours that were chosen, else those of the system, as `data-theme` of the page.
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const set = () => {
    let chosen = null;
    try {
      chosen = localStorage.getItem("ragkit.theme");
    } catch {
      // storage is closed: the system's colours
    }
    document.documentElement.dataset.theme = chosen ?? (dark.matches ? "dark" : "light");
  };
  dark.addEventListener("change", set);
  set();
})();
