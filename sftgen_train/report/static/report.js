// Draws every figure of the page from the data beside it, in the colours of the reader's scheme.
(() => {
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  const dark = JSON.parse(document.getElementById("dark-colours").textContent);
  const coloured = (text) => (scheme.matches ? dark.reduce((found, [from, to]) => found.replaceAll(from, to), text) : text);
  const draw = () => {
    for (const place of document.querySelectorAll("[data-figure]")) {
      const figure = JSON.parse(coloured(place.nextElementSibling.textContent));
      Plotly.react(place, figure.data, figure.layout, { responsive: true, displayModeBar: false });
    }
  };
  draw();
  scheme.addEventListener("change", draw);
  // What is folded has no width until it is opened.
  for (const fold of document.querySelectorAll("details")) {
    fold.addEventListener("toggle", () => fold.querySelectorAll("[data-figure]").forEach((place) => Plotly.Plots.resize(place)));
  }
  // On paper nothing is folded.
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((fold) => (fold.open = true)));
})();
