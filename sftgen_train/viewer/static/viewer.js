// What a page does beside links and forms: keys, moving along the steps, and narrowing the list of a static folder.
"use strict";

const typing = (target) => target.closest("input, select, textarea, [contenteditable]") !== null;

// The columns of an item: the one that is looked at, and its neighbours.
function alongSteps(by) {
  const row = document.getElementById("columns");
  if (!row) return false;
  const columns = [...row.querySelectorAll(".column")];
  const now = columns.indexOf(document.activeElement.closest(".column"));
  const next = Math.min(columns.length - 1, Math.max(0, now + by));
  columns[next].focus({ preventScroll: true });
  columns[next].scrollIntoView({ block: "nearest", inline: "start" });
  return true;
}

// The items of a list: focus moves from one to the next, Enter opens it as any link.
function alongItems(by) {
  const items = [...document.querySelectorAll("#list tr:not([hidden]) .open")];
  if (!items.length) return false;
  const now = items.indexOf(document.activeElement);
  items[Math.min(items.length - 1, Math.max(0, now + by))].focus();
  return true;
}

function follow(selector) {
  const link = document.querySelector(selector);
  if (link) link.click();
  return link !== null;
}

const KEYS = {
  j: () => follow('.itemhead a[rel="next"]') || alongItems(1),
  k: () => follow('.itemhead a[rel="prev"]') || alongItems(-1),
  ArrowRight: () => alongSteps(1),
  ArrowLeft: () => alongSteps(-1),
  d: () => follow("#marks"),
  u: () => follow("#up"),
  "/": () => {
    const search = document.querySelector('input[type="search"]');
    if (search) search.focus();
    return search !== null;
  },
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
  const act = KEYS[event.key];
  if (act && act()) event.preventDefault();
});

// An address holds only what differs from the default.
document.addEventListener("htmx:configRequest", (event) => {
  if (!event.target.matches("form.filter")) return;
  const form = event.target;
  for (const name of Object.keys(event.detail.parameters)) {
    const field = form.elements[name];
    const first = field && field.options ? field.options[0].value : "";
    if (event.detail.parameters[name] === "" || (["where", "sort"].includes(name) && event.detail.parameters[name] === first)) {
      delete event.detail.parameters[name];
    }
  }
});

// Which steps there are depends on the task and run: the whole page is asked for.
document.addEventListener("change", (event) => {
  const form = event.target.closest("form.filter[action]");
  if (form && ["run", "before_run", "task"].includes(event.target.name)) {
    event.stopImmediatePropagation();
    for (const name of event.target.name === "task" ? [] : ["step", "before"]) form.elements[name].disabled = true;
    form.submit();
  }
}, true);

// A failed request says so, and leaves the list as it is.
for (const failed of ["htmx:responseError", "htmx:sendError"]) {
  document.addEventListener(failed, (event) => {
    const live = document.getElementById("live");
    if (live && event.target === live) live.textContent = "The viewer has ended";
    else if (event.target.matches("form.filter")) event.target.submit();
  });
}

// The list of a static folder is narrowed here; nobody else could.
const narrow = document.getElementById("narrow");
if (narrow) {
  const rows = [...document.querySelectorAll("#list tbody tr")];
  const texts = rows.map((row) => row.querySelector("th").textContent.toLowerCase());
  const counted = document.getElementById("counted");
  const show = () => {
    const { q, task, change } = narrow.elements;
    const sought = q.value.trim().toLowerCase();
    let left = 0;
    rows.forEach((row, place) => {
      const fits = (!sought || texts[place].includes(sought)) && (!task.value || row.dataset.task === task.value)
        && (!change.value || row.dataset.change === change.value);
      row.hidden = !fits;
      left += fits;
    });
    counted.textContent = `${left.toLocaleString("en")} of ${rows.length.toLocaleString("en")} items`;
  };
  narrow.addEventListener("input", show);
  narrow.addEventListener("submit", (event) => event.preventDefault());
  show();
}
