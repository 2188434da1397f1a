// Light or dark, decided before anything is painted: a page that flashes white at night is no friend.

(() => {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => { document.documentElement.dataset.theme = localStorage.getItem("mien.theme") ?? (system.matches ? "dark" : "light"); };
  system.addEventListener("change", apply);
  apply();
})();
