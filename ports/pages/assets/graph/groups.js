/* Pinned nodes and their groups (supernodes), the edges between them, and what changing them did. */
(function (own) {
  "use strict";
  const { element, number, text, table, heading, note, button } = own;
  const MOST_FLOWS = 15;

  function pin(model, i, actions, checked) {
    const box = element("input", { type: "checkbox", "aria-label": `choose ${model.title(i)}`, onchange: () => {
      if (box.checked) checked.add(i);
      else checked.delete(i);
    } });
    box.checked = checked.has(i);
    return element("li", {}, [
      box, " ", button(text(model.title(i), 40), () => actions.go(i)), " ",
      element("small", {}, text(own.shown(model.token(i)), 16)), " ",
      button("×", () => actions.pin(i), { "aria-label": `unpin ${model.title(i)}` }),
    ]);
  }

  function group(model, place, actions, checked) {
    const { label, members } = model.groups[place];
    const name = element("input", { type: "text", value: label, maxlength: 200, "aria-label": "name of the group", onchange: () => {
      model.groups[place].label = name.value;
      actions.changed();
    } });
    return element("div", { class: "group", style: `--group:${own.groupColour(place)}` }, [
      name, " ", button("Take apart", () => { model.ungroup(members); actions.changed(); }),
      element("ul", {}, members.map((i) => pin(model, i, actions, checked))),
    ]);
  }

  function proposals(model, actions) {
    const open = model.data.proposals.filter((members) => members.every((i) => model.groupOf(i) < 0));
    if (!open.length) return [];
    const item = (members) => element("li", {}, [
      text(members.map((i) => model.title(i)).join(" + "), 90), " ",
      element("small", {}, ["at ", text(own.shown(model.token(members[0])), 16)]), " ",
      button("Take", () => { model.group(model.title(members[0]), members); actions.changed(); }),
    ]);
    return [element("details", { class: "proposals" }, [
      element("summary", {}, `${open.length} groups are proposed`),
      note("Features at one token and in near layers that much the same nodes drive and that drive much the same."),
      element("ul", {}, open.map(item)),
    ])];
  }

  function flows(model) {
    const found = model.flows();
    if (!found.length) return [];
    return [heading("Between them"), note("Sums of the weights of the edges from all members to all members."),
      table(["from", "to", "sum"], found.slice(0, MOST_FLOWS).map(({ from, to, sum }) => [
        [text(from, 30)], [text(to, 30)], element("span", { class: sum < 0 ? "lowers" : "raises" }, number(sum)),
      ]))];
  }

  function measured(model) {
    const pinned = new Set(model.pinned);
    const rows = model.data.measured.filter((row) => row.nodes.length && row.nodes.every((i) => pinned.has(i)));
    if (!rows.length) return [];
    return [heading("Changed, and measured"),
      own.measuredNote(),
      own.interventions(model, rows)];
  }

  own.groups = function (model, actions, checked) {
    const single = model.pinned.filter((i) => model.groupOf(i) < 0);
    [...checked].forEach((i) => { if (!model.pinned.includes(i)) checked.delete(i); });
    const make = () => {
      if (!checked.size) return;
      model.group(`group ${model.groups.length + 1}`, [...checked]);
      checked.clear();
      actions.changed();
    };
    return [
      heading(`Pinned: ${model.pinned.length}`),
      ...(model.pinned.length ? [] : [note("Pin nodes to keep them in sight, to group them, and to have them in the file.")]),
      ...model.groups.map((_, place) => group(model, place, actions, checked)),
      element("ul", {}, single.map((i) => pin(model, i, actions, checked))),
      ...(model.pinned.length ? [button("Group those ticked", make, { class: "make-group" })] : []),
      ...proposals(model, actions), ...flows(model), ...measured(model),
    ];
  };
})(window.causewayGraph);
