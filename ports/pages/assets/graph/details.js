/* What is known of one node: its numbers, words, contexts, interventions and edges. */
(function (own) {
  "use strict";
  const SHOWN = 12, CONTEXTS = 4, MOST_INTERVENTIONS = 25;
  const { element, number, text, table, heading, note, button } = own;

  const KINDS = { feature: "feature", error: "error (what the features leave unexplained)", token: "token", logit: "answer" };

  function facts(model, i) {
    const node = model.data.document.nodes[i];
    const rows = [
      ["kind", KINDS[model.data.kind[i]]],
      ["token", [text(own.shown(model.token(i))), `, place ${model.data.position[i]}`]],
    ];
    if (typeof node.activation === "number") rows.push(["value", number(node.activation)]);
    if (model.data.kind[i] === "logit") rows.push(["probability", number(node.token_prob)]);
    const share = model.data.influence[i];
    if (share !== null) rows.push(["influence", `among the nodes that hold ${number(100 * share)} % of it`]);
    const known = model.known(i);
    if (known?.rate !== undefined) rows.push(["active at", `${number(100 * known.rate)} % of tokens of the texts`]);
    rows.push(["name in the file", text(node.node_id)]);
    const row = ([name, value]) => element("tr", {}, [element("th", { scope: "row" }, name), element("td", {}, value)]);
    return element("table", { class: "facts" }, element("tbody", {}, rows.map(row)));
  }

  function label(model, i, changed) {
    const input = element("input", { type: "text", value: model.labels[i], maxlength: 500, onchange: () => {
      model.labels[i] = input.value;
      changed();
    } });
    return element("label", { class: "field" }, ["Label ", input]);
  }

  function words(known) {
    const list = (name, pairs) => (pairs?.length
      ? [element("p", {}, [`${name}: `, ...pairs.flatMap(([word, weight]) => [
        element("span", { class: "word", title: number(weight) }, element("bdi", {}, own.shown(word).slice(0, 40))), " "])])]
      : []);
    return [...list("Promotes", known.promoted), ...list("Suppresses", known.suppressed)];
  }

  /* A text in which the feature is active, shaded by its value. */
  function context({ tokens, values, peak, note: where }) {
    const most = Math.max(...values.map(Math.abs), 1e-30);
    const marks = tokens.map((token, t) => element("bdi", {
      class: t === peak ? "peak" : false, title: number(values[t]),
      style: `--share:${Math.round((70 * Math.abs(values[t])) / most)}%`,
    }, token));
    return element("p", { class: "context" }, [...marks, " ", element("small", {}, where ?? "")]);
  }

  /* A line an intervention: what was predicted, and beside it what was measured with each kind of attention. */
  function interventions(model, rows) {
    const kinds = [...new Set(rows.map((row) => row.holds))].sort();
    const lines = new Map();
    rows.forEach((row) => {
      const key = row.nodes.join(" ") + " " + row.edit;
      if (!lines.has(key)) lines.set(key, { ...row, measured: {} });
      lines.get(key).measured[row.holds] = row.measured;
    });
    const line = ({ nodes, edit, predicted, measured }) => [
      [text(nodes.map((i) => model.title(i)).join(" + ")), ` ${edit}`], number(predicted),
      ...kinds.map((kind) => number(measured[kind])),
    ];
    const heads = kinds.map((kind) => `attention ${kind}`);
    return table(["feature", "predicted", ...heads], [...lines.values()].slice(0, MOST_INTERVENTIONS).map(line));
  }

  /* The edges of a side, each leading to its other end. */
  function edges(model, title, list, other, go) {
    const shown = list.filter((e) => model.nodeShown[other[e]]);
    if (!shown.length) return [];
    const row = (e) => [
      element("span", { class: "end" }, [
        element("span", { class: `dot dot-${model.data.kind[other[e]]}` }),
        button(text(model.title(other[e]), 34), () => go(other[e])),
        element("small", {}, element("bdi", {}, own.shown(model.token(other[e])).slice(0, 16))),
      ]),
      element("span", { class: model.weight[e] < 0 ? "lowers" : "raises" }, number(model.weight[e])),
    ];
    const body = table([`${shown.length} nodes`, "weight"], shown.slice(0, SHOWN).map(row));
    const more = button(`Show all ${shown.length}`, () => {
      body.tBodies[0].append(...table(["", ""], shown.slice(SHOWN, 500).map(row)).tBodies[0].rows);
      more.remove();
    });
    return [heading(title), body, ...(shown.length > SHOWN ? [more] : [])];
  }

  own.details = function (model, actions) {
    const i = model.clicked;
    if (i < 0) return [note("No node is selected. Click one in the picture, or choose one of the list below it.")];
    const known = model.known(i), pinned = model.pinned.includes(i);
    const measured = model.data.measured.filter((row) => row.nodes.length === 1 && row.nodes[0] === i);
    return [
      element("h4", { class: "node-title" }, text(model.title(i), 120)),
      element("p", {}, button(pinned ? "Unpin" : "Pin", () => actions.pin(i), { class: "pin" })),
      facts(model, i), label(model, i, actions.changed),
      ...(known ? words(known) : []),
      ...(known?.contexts?.length ? [heading("Where it is active"), ...known.contexts.slice(0, CONTEXTS).map(context)] : []),
      ...(measured.length ? [heading("Changed, and measured"), own.measuredNote(), interventions(model, measured)] : []),
      ...edges(model, "What drives it", model.incoming[i], model.data.source, actions.go),
      ...edges(model, "What it drives", model.outgoing[i], model.data.target, actions.go),
    ];
  };

  own.interventions = interventions;
  own.measuredNote = () => note("Change of the difference of the two answers' logits where the feature is changed: as the "
    + "graph predicts it, and as it was measured.");
})(window.causewayGraph);
