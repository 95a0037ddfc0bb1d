// The bar of choices above the tables.

function renderFilters() {
  const choices = [
    choice("category", "Category", everyCategory().map((name) => [name, name === DATA.all ? "All categories" : titled(name)])),
    choice("level", "Prompts", everyLevel().map((name) => [name, name === DATA.all ? "All prompts" : `Other ${name}`.replace("Other caption", "Own caption")])),
    choice("backbone", "Backbone", [["", "All backbones"], ...[...new Set(DATA.boards.map((b) => b.backbone))].map((n) => [n, n])]),
    choice("training", "Training", [["", "All methods"], ["trained", "Tuned per clip"], ["free", "Training-free"]]),
    choice("start", "Start latent", [["", "Any start"], ...everyStart().map((name) => [name, titled(name)])]),
  ];
  const relative = make("label", { class: "switch" },
    make("input", { type: "checkbox", id: "relative", on: { change: (event) => change({ relative: event.target.checked ? "yes" : "" }) } }),
    "Relative to the backbone");
  relative.firstChild.checked = Boolean(state.relative);
  const reset = make("button", { type: "button", class: "ghost", on: { click: resetFilters } }, "Reset");
  const bar = document.getElementById("filters");
  bar.replaceChildren(make("div", { class: "choices" }, choices, relative, reset), make("div", { class: "more" }, columnChooser(), weightChooser()));
}

function resetFilters() {
  change({ ...DEFAULTS });
  renderFilters();
}

function choice(key, label, options) {
  const select = make("select", { id: `choose-${key}`, on: { change: (event) => { change({ [key]: event.target.value }); announce(describeView()); } } },
    options.map(([value, text]) => make("option", { value }, text)));
  select.value = state[key];
  return make("label", { class: "field" }, make("span", {}, label), select);
}

function columnChooser() {
  const columns = [...new Map(DATA.boards.flatMap(columnsOf).map((column) => [column.id, column])).values()];
  const boxes = columns.filter((column) => column.id !== "method").map((column) => {
    const box = make("input", { type: "checkbox", value: column.id, on: { change: () => chooseColumns(list) } });
    box.checked = isShown(column);
    return make("label", { title: column.help }, box, column.title);
  });
  const list = make("div", { class: "boxes" }, boxes);
  return make("details", { id: "column-chooser" }, make("summary", {}, "Columns"), list);
}

function chooseColumns(list) {
  const chosen = [...list.querySelectorAll("input:checked")].map((box) => box.value);
  change({ columns: ["method", ...chosen].join(",") });
}

function weightChooser() {
  const metrics = new Map(DATA.boards.flatMap((board) => Object.values(board.metrics)).map((info) => [info.name, info]));
  const scaled = [...metrics.values()].filter(hasScale);
  const sliders = scaled.map((info) => {
    const output = make("output", {}, String(weights()[info.name] ?? 0));
    const slider = make("input", { type: "range", min: 0, max: 10, step: 1, name: info.name, "aria-label": `Weight of ${info.title}`,
      on: { input: () => { output.textContent = slider.value; chooseWeights(list); } } });
    slider.value = weights()[info.name] ?? 0;
    return make("label", {}, make("span", {}, info.title), slider, output);
  });
  const list = make("div", { class: "weights" }, sliders);
  const hint = "There is no official total, because any weighting is a matter of taste. Yours is the weighted mean of normalized scores; metrics without floor and ceiling cannot join.";
  return make("details", { id: "weight-chooser" }, make("summary", {}, "Your own total"), make("p", { class: "quiet" }, hint), list);
}

function hasScale(info) {
  return DATA.boards.some((board) => Object.values(board.views[`${DATA.all}|${DATA.all}`] ?? {})
    .some((cells) => (cells.metrics[info.name]?.normalized ?? null) !== null));
}

function chooseWeights(list) {
  const chosen = [...list.querySelectorAll("input")].filter((slider) => Number(slider.value) > 0);
  change({ weights: chosen.map((slider) => `${slider.name}:${slider.value}`).join(",") });
}
