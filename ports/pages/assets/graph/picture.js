/* The picture of a graph: sigma draws nodes and edges, elements above it say layers, tokens and names. */
(function (own) {
  "use strict";
  const SHAPES = { token: "square", feature: "circle", error: "diamond", logit: "triangle" };
  const GROUP_COLOURS = ["#cc79a7", "#009e73", "#e69f00", "#56b4e9", "#d55e00", "#8f7ae5", "#a0a000", "#5fa8a0"];
  /* Edges that are drawn at once, the strongest; more are a grey cloud, and slow. */
  const MOST_EDGES = 5000;
  const MOST_NAMES = 24;

  own.groupColour = (place) => GROUP_COLOURS[place % GROUP_COLOURS.length];

  own.hasWebGL = function () {
    try {
      return Boolean(document.createElement("canvas").getContext("webgl2"));
    } catch {
      return false;
    }
  };

  class Picture {
    constructor(place, model, heard) {
      this.model = model;
      this.heard = heard;
      this.hovered = -1;
      this.neighbours = null;
      this.found = null;
      this.stage = own.element("div", { class: "stage" });
      this.over = own.element("div", { class: "over", "aria-hidden": "true" });
      place.replaceChildren(this.stage, this.over);
      this.place = place;
      this.readColours();
      this.makeGraph();
      this.makeRenderer();
      this.listen();
      this.update();
    }

    readColours() {
      const style = getComputedStyle(this.place);
      const read = (name) => style.getPropertyValue("--" + name).trim();
      this.colours = {
        feature: read("feature"), token: read("token"), error: read("error"), logit: read("logit"),
        raises: read("raises"), lowers: read("lowers"), paper: read("paper"), ink: read("ink"),
      };
    }

    makeGraph() {
      const { data, count } = this.model;
      this.width = this.place.clientWidth / Math.max(this.place.clientHeight, 1);
      this.rows = data.rows.length;
      this.size = Math.max(2.2, Math.min(7, 220 / Math.sqrt(count + 1)));
      this.graph = new graphology.MultiDirectedGraph();
      for (let i = 0; i < count; i++) {
        const kind = data.kind[i];
        const weight = data.influence[i] === null ? 0.6 : 1 - data.influence[i];
        this.graph.addNode(i, {
          i, x: data.x[i] * this.width, y: this.height(data.y[i]), shape: SHAPES[kind],
          size: this.size * (0.65 + 0.7 * weight) * (kind === "feature" ? 1 : 1.15),
        });
      }
      this.drawn = [];
    }

    height(row) {
      return (row + 0.5) / this.rows;
    }

    makeRenderer() {
      const { sdfCircle, sdfSquare, sdfTriangle, sdfDiamond, layerFill } = Sigma.rendering;
      const nodes = { x: { attribute: "x" }, y: { attribute: "y" }, shape: { attribute: "shape" } };
      const of = (name) => (node) => this[name](node.i);
      Object.assign(nodes, {
        size: of("nodeSize"), color: of("nodeColour"), opacity: of("nodeOpacity"), depth: of("nodeDepth"),
        visibility: (node) => (this.model.nodeShown[node.i] ? "visible" : "hidden"), labelVisibility: "hidden",
        backdropVisibility: (node) => (this.ring(node.i) ? "visible" : "hidden"),
        backdropColor: (node) => this.ring(node.i) || this.colours.paper, backdropPadding: 3,
        backdropShadowBlur: 0, backdropShadowColor: "transparent", backdropArea: "node", cursor: "pointer",
      });
      const edges = {
        size: (edge) => this.edgeSize(edge.e), color: (edge) => this.edgeColour(edge.e),
        opacity: (edge) => this.edgeOpacity(edge.e),
      };
      this.renderer = new Sigma(this.graph, this.stage, {
        primitives: {
          nodes: { shapes: [sdfCircle(), sdfSquare(), sdfTriangle(), sdfDiamond()], layers: [layerFill()] },
        },
        styles: { nodes, edges },
        settings: {
          renderLabels: false, hideEdgesOnMove: this.model.weight.length > 3000, stagePadding: 0,
          itemSizesReference: "screen", gestureTarget: "shared", minCameraRatio: 0.02, maxCameraRatio: 1.6,
          enableCameraRotation: false, allowInvalidContainer: true, nodePickingPadding: 3,
        },
      });
      this.renderer.setCustomBBox({ x: [-0.075 * this.width, 1.01 * this.width], y: [-0.04, 1.02] });
    }

    listen() {
      this.renderer.on("clickNode", ({ node }) => this.heard.click(Number(node)));
      this.renderer.on("clickStage", () => this.heard.click(-1));
      this.renderer.on("enterNode", ({ node }) => this.hover(Number(node)));
      this.renderer.on("leaveNode", () => this.hover(-1));
      this.renderer.on("afterRender", () => this.say());
    }

    hover(i) {
      this.hovered = i;
      this.say();
    }

    near(i) {
      return this.neighbours === null || this.neighbours.has(i);
    }

    ring(i) {
      const group = this.model.groupOf(i);
      if (group >= 0) return own.groupColour(group);
      if (i === this.model.clicked || this.model.pinned.includes(i)) return this.colours.ink;
      return "";
    }

    nodeSize(i) {
      const size = this.graph.getNodeAttribute(i, "size");
      return i === this.model.clicked ? size * 1.35 : size;
    }

    nodeColour(i) {
      return this.colours[this.model.data.kind[i]];
    }

    nodeOpacity(i) {
      if (this.found && !this.found.has(i)) return 0.12;
      return this.near(i) ? 1 : 0.25;
    }

    nodeDepth(i) {
      return this.ring(i) ? "topNodes" : "nodes";
    }

    strength(e) {
      return Math.sqrt(Math.abs(this.model.weight[e]) / (this.model.largest || 1));
    }

    ofClicked(e) {
      const { source, target } = this.model.data;
      return this.model.clicked === source[e] || this.model.clicked === target[e];
    }

    edgeSize(e) {
      return (this.ofClicked(e) ? 1.2 : 0.4) + 2.6 * this.strength(e);
    }

    edgeColour(e) {
      return this.model.weight[e] < 0 ? this.colours.lowers : this.colours.raises;
    }

    edgeOpacity(e) {
      if (this.ofClicked(e)) return 0.9;
      const least = Math.max(0.03, 0.16 * Math.min(1, 400 / Math.max(this.drawn.length, 1)));
      return this.model.clicked >= 0 ? 0.05 : least + 0.5 * this.strength(e);
    }

    /* The edges to draw: of the clicked node all, of the others the strongest. */
    chosen() {
      const { edgeShown, weight, incoming, outgoing, clicked, nodeShown, data } = this.model;
      let edges = [];
      edgeShown.forEach((shown, e) => { if (shown) edges.push(e); });
      if (edges.length > MOST_EDGES) {
        edges.sort((a, b) => data.share[a] - data.share[b]);
        edges = edges.slice(0, MOST_EDGES);
      }
      if (clicked < 0) return edges;
      const here = [...incoming[clicked], ...outgoing[clicked]]
        .filter((e) => nodeShown[data.source[e]] && nodeShown[data.target[e]]);
      return [...new Set([...edges, ...here])];
    }

    update() {
      const { source, target } = this.model.data;
      this.neighbours = null;
      const { clicked, incoming, outgoing } = this.model;
      if (clicked >= 0) {
        this.neighbours = new Set([clicked, ...incoming[clicked].map((e) => source[e]), ...outgoing[clicked].map((e) => target[e])]);
      }
      this.drawEdges(this.chosen());
      this.renderer.refresh();
    }

    /* Only what changes is taken away or added. */
    drawEdges(edges) {
      const { source, target } = this.model.data;
      const wanted = new Set(edges), there = new Set(this.drawn);
      this.drawn.forEach((e) => { if (!wanted.has(e)) this.graph.dropEdge("e" + e); });
      edges.forEach((e) => { if (!there.has(e)) this.graph.addEdgeWithKey("e" + e, source[e], target[e], { e }); });
      this.drawn = edges;
    }

    search(found) {
      this.found = found;
      this.renderer.refresh();
    }

    /* Names of layers and tokens at the margins, and of some nodes. */
    say() {
      const { data } = this.model;
      const at = (x, y) => this.renderer.graphToViewport({ x: x * this.width, y });
      const parts = [];
      data.rows.forEach((name, row) => {
        const { y } = at(0, this.height(row));
        parts.push(own.element("span", { class: "row", style: `top:${y}px` }, name));
      });
      let end = -Infinity;
      data.document.metadata.prompt_tokens.forEach((token, p) => {
        const left = at(data.columns[p], 0).x, right = at(data.columns[p + 1], 0).x;
        if (right - end < 14 || right < 0 || left > this.place.clientWidth) return;
        end = right;
        const style = `left:${left}px;max-width:${Math.max(right - left, 14)}px;width:${right - left}px`;
        parts.push(own.element("span", { class: "column", style, title: String(token).slice(0, 2000) },
          own.element("bdi", {}, own.shown(String(token)).slice(0, 200))));
      });
      this.named().forEach((i) => {
        const { x, y } = at(data.x[i], this.height(data.y[i]));
        parts.push(own.element("span", { class: "name", style: `left:${x}px;top:${y}px` }, own.text(this.model.title(i), 32)));
      });
      this.over.replaceChildren(...parts);
    }

    named() {
      const { pinned, clicked, nodeShown, data } = this.model;
      const answers = data.kind.flatMap((kind, i) => (kind === "logit" ? [i] : [])).slice(0, 3);
      return [...new Set([this.hovered, clicked, ...pinned, ...answers])]
        .filter((i) => i >= 0 && nodeShown[i]).slice(0, MOST_NAMES);
    }

    /* The next node in a direction from the clicked one, as arrow keys ask for it. */
    next(dx, dy) {
      const { data, nodeShown, clicked } = this.model;
      if (clicked < 0) return data.kind.lastIndexOf("logit");
      let best = -1, least = Infinity;
      nodeShown.forEach((shown, i) => {
        if (!shown || i === clicked) return;
        const x = (data.x[i] - data.x[clicked]) * this.width, y = (data.y[i] - data.y[clicked]) / this.rows;
        const ahead = x * dx + y * dy, aside = Math.abs(x * dy) + Math.abs(y * dx);
        const far = ahead + 2.5 * aside;
        if (ahead > 1e-6 && far < least) { best = i; least = far; }
      });
      return best < 0 ? clicked : best;
    }

    zoom(factor) {
      const camera = this.renderer.getCamera();
      camera.setState({ ratio: camera.getBoundedRatio(camera.ratio * factor) });
    }

    home() {
      this.renderer.getCamera().setState({ x: 0.5, y: 0.5, ratio: 1, angle: 0 });
    }

    end() {
      this.renderer.kill();
      this.place.replaceChildren();
    }
  }

  own.Picture = Picture;
})(window.causewayGraph);
