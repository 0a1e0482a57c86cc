/* A graph and what a reader did to it: filters, pins, groups, labels. No drawing. */
window.causewayGraph = {};
(function (own) {
  "use strict";

  /* Edges of a graph that is shown whole at first; of more the strongest. */
  const WHOLE = 200;

  /* For each node the edges that end (or begin) at it, strongest first. */
  function edgesByEnd(ends, weight, count) {
    const found = Array.from({ length: count }, () => []);
    ends.forEach((node, edge) => found[node].push(edge));
    found.forEach((edges) => edges.sort((a, b) => Math.abs(weight[b]) - Math.abs(weight[a])));
    return found;
  }

  /* Numbers of values, the smallest first. */
  function inOrder(values) {
    return values.map((_, i) => i).sort((a, b) => values[a] - values[b]);
  }

  function nodeName(data, i) {
    const node = data.document.nodes[i];
    if (data.kind[i] === "feature") return "layer " + node.layer + ", feature " + (data.feature[i] ?? node.feature);
    if (data.kind[i] === "error") return "error of layer " + node.layer;
    if (data.kind[i] === "token") return "token " + own.shown(token(data, i));
    return node.clerp || "answer " + node.node_id;
  }

  function token(data, i) {
    return String(data.document.metadata.prompt_tokens[data.position[i]]);
  }

  class Model {
    constructor(data) {
      const { nodes, links, qParams = {} } = data.document;
      this.data = data;
      this.count = nodes.length;
      this.weight = links.map((link) => link.weight);
      this.incoming = edgesByEnd(data.target, this.weight, this.count);
      this.outgoing = edgesByEnd(data.source, this.weight, this.count);
      this.edgeOrder = inOrder(data.share);
      this.nodeOrder = inOrder(data.influence.map((value) => value ?? -1));
      this.largest = this.weight.reduce((most, weight) => Math.max(most, Math.abs(weight)), 0);
      this.names = nodes.map((_, i) => nodeName(data, i));
      this.labels = nodes.map((node) => node.clerp || "");
      this.readState(qParams);
      this.filter();
    }

    readState(state) {
      const numbers = new Map();
      this.data.document.nodes.forEach((node, i) => { if (!numbers.has(node.node_id)) numbers.set(node.node_id, i); });
      const known = (ids) => (Array.isArray(ids) ? ids : []).map((id) => numbers.get(id)).filter((i) => i !== undefined);
      this.pinned = [...new Set(known(state.pinnedIds))];
      this.groups = (Array.isArray(state.supernodes) ? state.supernodes : [])
        .filter(Array.isArray)
        .map(([label, ...ids]) => ({ label: String(label), members: known(ids) }))
        .filter((group) => group.members.length);
      this.clicked = numbers.get(state.clickedId) ?? -1;
      this.nodeShare = Number.isFinite(state.pruningThreshold) ? state.pruningThreshold : 1;
      this.edgeShare = this.weight.length > WHOLE ? 0.8 : 1;
    }

    /* Which nodes and edges pass the filters. Pinned and clicked nodes always do. */
    filter() {
      const { influence, share, source, target } = this.data;
      const kept = new Set(this.pinned).add(this.clicked);
      this.nodeShown = influence.map((value, i) => value === null || value <= this.nodeShare || kept.has(i));
      this.edgeShown = share.map(
        (value, e) => value <= this.edgeShare && this.nodeShown[source[e]] && this.nodeShown[target[e]]);
      this.nodesLeft = this.nodeShown.reduce((sum, shown) => sum + shown, 0);
      this.edgesLeft = this.edgeShown.reduce((sum, shown) => sum + shown, 0);
    }

    title(i) {
      const own = this.data.kind[i] !== "logit" && this.labels[i];
      return own || this.known(i)?.label || this.names[i];
    }

    known(i) {
      return this.data.kind[i] === "feature"
        ? this.data.features[this.data.document.nodes[i].layer + ":" + this.data.feature[i]] : undefined;
    }

    token(i) {
      return token(this.data, i);
    }

    togglePin(i) {
      if (!this.pinned.includes(i)) this.pinned.push(i);
      else {
        this.pinned = this.pinned.filter((one) => one !== i);
        this.ungroup([i]);
      }
    }

    /* A node is in one group at most. */
    group(label, members) {
      this.ungroup(members);
      members.forEach((i) => { if (!this.pinned.includes(i)) this.pinned.push(i); });
      this.groups.push({ label, members: [...members] });
    }

    ungroup(members) {
      this.groups.forEach((group) => { group.members = group.members.filter((i) => !members.includes(i)); });
      this.groups = this.groups.filter((group) => group.members.length);
    }

    groupOf(i) {
      return this.groups.findIndex((group) => group.members.includes(i));
    }

    /* Nodes whose name, label, token or known words hold a text. */
    search(text) {
      const wanted = text.trim().toLowerCase();
      if (!wanted) return null;
      const words = (i) => (this.known(i)?.promoted ?? []).map(([word]) => word).join(" ");
      const said = (i) => [this.names[i], this.title(i), this.token(i), this.data.document.nodes[i].node_id, words(i)];
      return new Set(this.names.map((_, i) => i).filter((i) => said(i).join("\n").toLowerCase().includes(wanted)));
    }

    /* Pinned nodes as groups and single ones, and the sums of the edges between them. */
    parts() {
      const grouped = this.groups.map((group) => ({ label: group.label, members: group.members }));
      const single = this.pinned.filter((i) => this.groupOf(i) < 0).map((i) => ({ label: this.title(i), members: [i] }));
      return [...grouped, ...single];
    }

    flows() {
      const parts = this.parts();
      const part = new Map(parts.flatMap(({ members }, p) => members.map((i) => [i, p])));
      const sums = new Map();
      this.weight.forEach((weight, e) => {
        const [from, to] = [part.get(this.data.source[e]), part.get(this.data.target[e])];
        if (from === undefined || to === undefined || from === to) return;
        const key = from + " " + to;
        sums.set(key, (sums.get(key) ?? 0) + weight);
      });
      return [...sums].map(([key, sum]) => {
        const [from, to] = key.split(" ").map((p) => parts[p].label);
        return { from, to, sum };
      }).sort((a, b) => Math.abs(b.sum) - Math.abs(a.sum));
    }

    /* The file with what was done to it. */
    document() {
      const id = (i) => this.data.document.nodes[i].node_id;
      const state = {
        linkType: "both", sg_pos: "", ...this.data.document.qParams,
        pinnedIds: this.pinned.map(id),
        supernodes: this.groups.map((group) => [group.label, ...group.members.map(id)]),
        clickedId: this.clicked < 0 ? "" : id(this.clicked),
        pruningThreshold: this.nodeShare,
      };
      const nodes = this.data.document.nodes.map((node, i) => ({ ...node, clerp: this.labels[i] }));
      return { ...this.data.document, qParams: state, nodes };
    }
  }

  /* A token as people see it: white space shown. */
  own.shown = (text) => text.replaceAll("\n", "⏎").replace(/^ /, "␣").replace(/ $/, "␣") || "(empty)";
  own.Model = Model;
})(window.causewayGraph);
