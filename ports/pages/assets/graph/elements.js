/* Elements of a page, made of texts: nothing that a model or a person wrote is ever read as HTML. */
(function (own) {
  "use strict";
  const LONGEST = 60;

  own.element = function (name, attributes = {}, children = []) {
    const made = document.createElement(name);
    Object.entries(attributes).forEach(([key, value]) => {
      if (key === "onclick" || key === "oninput" || key === "onchange") made[key] = value;
      else if (value !== false && value !== undefined) made.setAttribute(key, value === true ? "" : value);
    });
    made.append(...[children].flat());
    return made;
  };

  /* A text apart from the page's direction of writing, cut where it is long. */
  own.text = function (text, longest = LONGEST) {
    const signs = Array.from(text);
    if (signs.length <= longest) return own.element("bdi", {}, text);
    return own.element("bdi", { title: signs.slice(0, 2000).join("") }, signs.slice(0, longest).join("") + "…");
  };

  own.number = function (value) {
    if (value === null || value === undefined || !Number.isFinite(value)) return "–";
    const size = Math.abs(value);
    const said = size !== 0 && (size < 1e-3 || size >= 1e5) ? value.toExponential(2) : String(Number(value.toPrecision(3)));
    return said.replaceAll("-", "−");
  };

  own.button = function (text, onclick, attributes = {}) {
    return own.element("button", { type: "button", onclick, ...attributes }, text);
  };

  own.table = function (heads, rows) {
    const head = own.element("tr", {}, heads.map((name) => own.element("th", { scope: "col" }, name)));
    const cell = (value) => own.element("td", typeof value === "string" ? { class: "number" } : {}, value);
    const body = rows.map((row) => own.element("tr", {}, row.map(cell)));
    return own.element("table", {}, [own.element("thead", {}, head), own.element("tbody", {}, body)]);
  };

  own.heading = (text) => own.element("h4", {}, text);
  own.note = (text) => own.element("p", { class: "note" }, text);
})(window.causewayGraph);
