"use strict";
// The charts, drawn in the page's colors, and again when these change.

const charts = JSON.parse(document.getElementById("charts").textContent);
const dark = matchMedia("(prefers-color-scheme: dark)");
let drawn = [];

function scheme() {
  const style = getComputedStyle(document.documentElement);
  const [ink, soft, line] = ["--ink", "--soft", "--line"].map((name) => style.getPropertyValue(name));
  const phone = innerWidth < 600;
  const texts = { labelColor: ink, titleColor: soft, labelLimit: phone ? 120 : 220 };
  return {
    background: "transparent",
    view: { stroke: null },
    axis: { ...texts, gridColor: line, domainColor: line, tickColor: line },
    legend: { ...texts, orient: "top", columns: phone ? 2 : 0 },
    text: { fill: ink },
    rule: { stroke: soft },
    mark: { cursor: { expr: "datum.query ? 'pointer' : 'default'" } },
    line: { cursor: "default" }, // its points have rows of their own
  };
}

// The values of the charts' params of these names.
function chosen() {
  const cell = document.getElementById("cell").value;
  return { cell, scenario: data.cells.find((entry) => entry.cell === cell).scenario };
}

async function draw() {
  drawn.forEach((result) => result.finalize());
  const options = { actions: false, renderer: "svg", ast: true, config: scheme() };
  options.tooltip = { theme: dark.matches ? "dark" : "light" };
  const values = chosen();
  drawn = await Promise.all(
    Object.entries(charts).map(([name, spec]) => {
      const figure = document.getElementById(`chart-${name}`);
      figure.querySelector(".chart")?.remove();
      const place = figure.appendChild(element("div", "chart"));
      const params = (spec.params ?? []).map((param) => ({ ...param, value: values[param.name] }));
      return vegaEmbed(place, { ...spec, params }, options);
    }),
  );
  for (const { view } of drawn) {
    view.addEventListener("click", (_, item) => {
      if (item?.cursor === "pointer") location.hash = new URLSearchParams(item.datum.query);
    });
  }
}

function choose() {
  const values = chosen();
  for (const { view, spec } of drawn) {
    spec.params.forEach(({ name }) => view.signal(name, values[name]));
    view.runAsync();
  }
}

document.getElementById("cell").addEventListener("change", choose);
dark.addEventListener("change", draw);
draw();
