// Before anything is drawn: the colours that were chosen, else those of the system.
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("ragkit.theme");
  } catch {
    // storage is closed: the system's colours
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
