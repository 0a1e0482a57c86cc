/* The picture of a graph: sigma draws nodes and edges, elements above it say layers, tokens and names. */
(function (own) {
  "use strict";
  const SHAPES = { token: "square", feature: "circle", error: "diamond", logit: "triangle" };
  const GROUP_COLOURS = ["#cc79a7", "#009e73", "#e69f00", "#56b4e9", "#d55e00", "#8f7ae5", "#a0a000", "#5fa8a0"];
  /* Edges that are drawn at once, the strongest; more are a grey cloud, and slow. */
  const MOST_EDGES = 3000;
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
      this.makeMargins();
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
      this.drawn = new Set();
      this.there = new Set();
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
        visibility: (edge) => (this.drawn.has(edge.e) ? "visible" : "hidden"),
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
      const least = Math.max(0.03, 0.16 * Math.min(1, 400 / Math.max(this.drawn.size, 1)));
      return this.model.clicked >= 0 ? 0.05 : least + 0.5 * this.strength(e);
    }

    /* The edges to draw: of the clicked node all, of the others the strongest. */
    chosen() {
      const { edgeShown, edgeOrder, incoming, outgoing, clicked, nodeShown, data } = this.model;
      const edges = [];
      for (const e of edgeOrder) {
        if (edges.length === MOST_EDGES) break;
        if (edgeShown[e]) edges.push(e);
      }
      if (clicked < 0) return new Set(edges);
      const here = [...incoming[clicked], ...outgoing[clicked]]
        .filter((e) => nodeShown[data.source[e]] && nodeShown[data.target[e]]);
      return new Set([...edges, ...here]);
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

    /* To drop an edge makes sigma read the whole graph again: edges are hidden, and dropped when there are many. */
    drawEdges(edges) {
      const { source, target } = this.model.data;
      this.drawn = edges;
      if (this.there.size + edges.size > 3 * MOST_EDGES) {
        this.graph.clearEdges();
        this.there.clear();
      }
      edges.forEach((e) => {
        if (this.there.has(e)) return;
        this.there.add(e);
        this.graph.addEdgeWithKey("e" + e, source[e], target[e], { e });
      });
    }

    search(found) {
      this.found = found;
      this.renderer.refresh();
    }

    /* Names of layers and tokens at the margins, made once. */
    makeMargins() {
      const { data } = this.model;
      this.rowNames = data.rows.map((name) => own.element("span", { class: "row" }, name));
      this.columnNames = data.document.metadata.prompt_tokens.map((token) => own.element(
        "span", { class: "column", title: String(token).slice(0, 2000) },
        own.element("bdi", {}, own.shown(String(token)).slice(0, 200))));
      this.names = own.element("div");
      this.over.replaceChildren(...this.rowNames, ...this.columnNames, this.names);
    }

    /* Where they stand, and the names of some nodes. */
    say() {
      const { data } = this.model;
      const at = (x, y) => this.renderer.graphToViewport({ x: x * this.width, y });
      this.rowNames.forEach((name, row) => { name.style.top = `${at(0, this.height(row)).y}px`; });
      let end = -Infinity;
      this.columnNames.forEach((name, p) => {
        const left = at(data.columns[p], 0).x, right = at(data.columns[p + 1], 0).x;
        name.hidden = right - end < 14 || right < 0 || left > this.place.clientWidth;
        if (name.hidden) return;
        end = right;
        Object.assign(name.style, { left: `${left}px`, width: `${Math.max(right - left, 14)}px` });
      });
      this.names.replaceChildren(...[...this.named()].map(([i, name]) => {
        const { x, y } = at(data.x[i], this.height(data.y[i]));
        return own.element("span", { class: "name", "data-x": x, style: `left:${x}px;top:${y}px` }, own.text(name, 32));
      }));
      this.names.childNodes.forEach((name) => this.keepInside(name));
    }

    /* A name of a node that is in the picture is in it as a whole. */
    keepInside(name) {
      const x = Number(name.dataset.x), half = name.offsetWidth / 2 + 2, end = this.place.clientWidth;
      if (x >= 0 && x <= end) name.style.left = `${Math.max(Math.min(x, end - half), half)}px`;
    }

    /* Nodes that are named, each with its name or, of a group, that of the group at its first node. */
    named() {
      const { pinned, clicked, nodeShown, data, groups } = this.model;
      const answers = data.kind.flatMap((kind, i) => (kind === "logit" ? [i] : [])).slice(0, 3);
      const alone = pinned.filter((i) => this.model.groupOf(i) < 0);
      const nodes = [this.hovered, clicked, ...alone, ...answers].filter((i) => i >= 0 && nodeShown[i]);
      const named = new Map(groups.map(({ label, members }) => [members[0], label]));
      nodes.slice(0, MOST_NAMES).forEach((i) => named.set(i, this.model.title(i)));
      return named;
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

    /* On paper WebGL leaves nothing: an image of the picture, as large as it is on the screen, stands in for it. */
    freeze() {
      this.renderer.refresh();
      const { clientWidth, clientHeight } = this.place;
      const style = `width:${clientWidth}px;height:${clientHeight}px`;
      this.still = own.element("img", { class: "still", alt: "", style, src: this.renderer.getStageCanvas().toDataURL() });
      this.over.style.width = `${clientWidth}px`;
      this.stage.hidden = true;
      this.place.prepend(this.still);
    }

    thaw() {
      this.still?.remove();
      this.over.style.width = "";
      this.stage.hidden = false;
    }

    end() {
      this.renderer.kill();
      this.place.replaceChildren();
    }
  }

  own.Picture = Picture;
})(window.causewayGraph);
