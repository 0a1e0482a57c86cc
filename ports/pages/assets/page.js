/* Draws the charts of a page and hands out their data. Everything it needs is in the page. */
(function () {
  "use strict";
  const views = {};

  function data(name) {
    return JSON.parse(document.getElementById(name + "-data").textContent);
  }

  function rows(columns) {
    const names = Object.keys(columns);
    const count = names.length ? columns[names[0]].length : 0;
    return Array.from({ length: count }, (_, i) => Object.fromEntries(names.map((name) => [name, columns[name][i]])));
  }

  async function draw(place) {
    const found = data(place.dataset.of);
    const specification = { ...found.specification, datasets: { table: rows(found.columns) } };
    const made = await window.vegaEmbed(place, specification, { renderer: "svg", actions: false, logLevel: 1 });
    if (views[place.dataset.of]) views[place.dataset.of].finalize();
    views[place.dataset.of] = made.view;
  }

  async function drawAll(places) {
    for (const place of places) {
      try {
        await draw(place);
        place.dataset.drawn = "yes";
      } catch (error) {
        place.textContent = "This chart could not be drawn: " + error.message;
        console.error(error);
      }
    }
    document.documentElement.dataset.charts = "drawn";
  }

  /* A text that a spreadsheet would take for a formula begins with an apostrophe; numbers stay as they are. */
  function csvField(value) {
    const formula = typeof value === "string" && /^[=+\-@\t\r]/.test(value) && !/^-?\d+$/.test(value);
    const text = value === null ? "" : (formula ? "'" : "") + String(value);
    return /[",\r\n]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
  }

  function csv(columns) {
    const names = Object.keys(columns);
    const lines = rows(columns).map((row) => names.map((name) => csvField(row[name])).join(","));
    return [names.map(csvField).join(","), ...lines, ""].join("\r\n");
  }

  function bytes(base64) {
    return Uint8Array.from(atob(base64), (sign) => sign.charCodeAt(0));
  }

  async function content(name, kind) {
    if (kind === "csv") return new Blob([csv(data(name).columns)], { type: "text/csv;charset=utf-8" });
    if (kind === "parquet") return new Blob([bytes(data(name).parquet)], { type: "application/vnd.apache.parquet" });
    if (kind === "svg") return new Blob([await views[name].toSVG()], { type: "image/svg+xml" });
    const canvas = await views[name].toCanvas(3);
    return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  }

  async function download(event) {
    const button = event.target.closest(".downloads button");
    if (!button) return;
    const name = button.parentElement.dataset.of;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await content(name, button.dataset.kind));
    link.download = name + "." + button.dataset.kind;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  function showMore(event) {
    const button = event.target.closest("button.more");
    if (!button) return;
    button.previousElementSibling.querySelector("tbody[hidden]").hidden = false;
    button.remove();
  }

  document.addEventListener("click", download);
  document.addEventListener("click", showMore);
  window.addEventListener("beforeprint", () => {
    document.querySelectorAll("details").forEach((one) => { one.open = true; });
  });
  window.causewayDraw = drawAll;
  drawAll(document.querySelectorAll(".chart"));
})();
