// Draws every figure of the page from the data beside it, in the colours of the reader's scheme.
(() => {
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  const dark = JSON.parse(document.getElementById("dark-colours").textContent);
  const coloured = (text) => (scheme.matches ? dark.reduce((found, [from, to]) => found.replaceAll(from, to), text) : text);
  const linear = document.getElementById("linear");
  // Steps stand where their logarithm is, the base one doubling before the first.
  const straighten = (figure) => {
    const axis = figure.layout.xaxis;
    if (axis?.title?.text !== "training step" || !axis.tickvals || !axis.ticktext) return;
    const first = Math.min(...axis.tickvals);
    const zero = axis.ticktext[axis.tickvals.indexOf(first)] === "0";
    const step = (x) => (zero && x < first + 1e-6 ? 0 : Math.round(2 ** x));
    for (const trace of figure.data) trace.x = Array.from(trace.x, step);
    const last = step(Math.max(...axis.tickvals));
    figure.layout.xaxis = { ...axis, tickvals: undefined, ticktext: undefined, range: [-0.03 * last, 1.03 * last] };
  };
  const draw = () => {
    for (const place of document.querySelectorAll("[data-figure]")) {
      const figure = JSON.parse(coloured(place.nextElementSibling.textContent));
      if (linear.checked) straighten(figure);
      Plotly.react(place, figure.data, figure.layout, { responsive: true, displayModeBar: false });
    }
  };
  draw();
  scheme.addEventListener("change", draw);
  linear.addEventListener("change", draw);
  // What is folded has no width until it is opened.
  for (const fold of document.querySelectorAll("details")) {
    fold.addEventListener("toggle", () => fold.querySelectorAll("[data-figure]").forEach((place) => Plotly.Plots.resize(place)));
  }
  // On paper nothing is folded.
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((fold) => (fold.open = true)));
})();
