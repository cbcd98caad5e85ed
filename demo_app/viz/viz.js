// js_on_load of a gr.HTML that shows viz.heat_map, viz.heads_grid or viz.tiles. `element` and `trigger` come from Gradio.
// Listeners sit on the component, so they outlive each new value; texts are only ever set as textContent.
function show(map, row, column) {
  const cells = map.querySelector(".viz-cells");
  const columns = map.querySelectorAll(".viz-top span"), rows = map.querySelectorAll(".viz-left span");
  row = Math.max(0, Math.min(rows.length - 1, row));
  column = Math.max(0, Math.min(columns.length - 1, column));
  const at = 2 * (row * columns.length + column);
  const weight = parseInt(cells.dataset.levels.slice(at, at + 2), 16) / 255 * parseFloat(cells.dataset.largest);
  const [before, between] = cells.dataset.axes.split("|");
  map.dataset.row = row;
  map.dataset.column = column;
  map.classList.add("viz-reading");
  const cursor = cells.querySelector("b");
  cursor.style.setProperty("--row", row);
  cursor.style.setProperty("--column", column);
  map.closest("figure").querySelector(".viz-read").textContent =
    `${before} ${rows[row].textContent} ${between} ${columns[column].textContent}: ${weight.toFixed(3)}`.trim();
}

element.addEventListener("pointermove", (event) => {
  const cells = event.target.closest(".viz-cells");
  if (!cells) return;
  const map = cells.closest(".viz-map"), box = cells.getBoundingClientRect();
  const rows = map.querySelectorAll(".viz-left span").length, columns = map.querySelectorAll(".viz-top span").length;
  show(map, Math.floor((event.clientY - box.top) / box.height * rows),
    Math.floor((event.clientX - box.left) / box.width * columns));
});

element.addEventListener("keydown", (event) => {
  const map = event.target.closest(".viz-map");
  const step = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]}[event.key];
  if (!map || !step) return;
  event.preventDefault();
  show(map, Number(map.dataset.row ?? 0) + step[0], Number(map.dataset.column ?? 0) + step[1]);
});

element.addEventListener("click", (event) => {
  const chosen = event.target.closest("button[data-head], button[data-tile]");
  if (!chosen) return;
  for (const other of chosen.parentElement.querySelectorAll("button"))
    other.setAttribute("aria-pressed", String(other === chosen));
  const {layer, head, tile} = chosen.dataset;
  trigger("click", tile === undefined ? {layer: Number(layer), head: Number(head)} : {tile: Number(tile)});
});
