/* The explorer of a graph: controls, the picture, what is selected, and the list of nodes for those who do not point. */
(function (own) {
  "use strict";
  const { element, text, button, note } = own;
  const LISTED = 60;
  let open = null;

  function slider(name, value, changed) {
    const input = element("input", { type: "range", min: 0, max: 1000, value: Math.round(1000 * value) });
    const said = element("output", {}, `${Math.round(1000 * value) / 10} %`);
    input.oninput = () => {
      said.textContent = `${input.value / 10} %`;
      changed(input.value / 1000);
    };
    return element("label", { class: "field" }, [`${name} `, input, " ", said]);
  }

  class Explorer {
    constructor(place, data) {
      this.place = place;
      this.model = new own.Model(data);
      this.checked = new Set();
      this.found = null;
    }

    show() {
      this.counts = element("p", { class: "counts", role: "status" });
      this.picture = element("div", { class: "picture", tabindex: 0, role: "application", "aria-label": "The graph" });
      this.side = element("div", { class: "side", role: "region", "aria-label": "The selected node" });
      this.pins = element("div", { class: "pins" });
      this.list = element("div", { class: "list" });
      this.place.replaceChildren(
        this.controls(), this.counts, element("div", { class: "explorer" }, [this.picture, this.side]),
        element("div", { class: "below" }, [this.pins, this.list]));
      this.draw();
      this.picture.onkeydown = (event) => this.key(event);
      this.changed();
      this.place.dataset.open = "yes";
    }

    controls() {
      const search = element("input", { type: "search", placeholder: "token, feature, label", oninput: () => {
        this.found = this.model.search(search.value);
        this.view?.search(this.found);
        this.say();
      } });
      const filtered = (name) => (value) => {
        this.model[name] = value;
        this.changed();
      };
      return element("div", { class: "controls" }, [
        slider("Nodes that hold", this.model.nodeShare, filtered("nodeShare")),
        slider("Edges that hold", this.model.edgeShare, filtered("edgeShare")),
        element("label", { class: "field" }, ["Find ", search]),
        button("Whole graph", () => this.view?.home()),
        button("Download as JSON", () => this.download(), { class: "download" }),
      ]);
    }

    draw() {
      if (!own.hasWebGL()) {
        this.picture.replaceChildren(note("This browser draws no WebGL, which the picture needs. The nodes are listed below."));
        this.picture.classList.add("none");
        return;
      }
      this.view = new own.Picture(this.picture, this.model, { click: (i) => this.go(i) });
    }

    go(i) {
      this.model.clicked = i;
      this.changed();
    }

    /* Filters again and draws, once a frame at most. */
    changed() {
      if (this.waiting) return;
      this.waiting = requestAnimationFrame(() => {
        this.waiting = 0;
        this.model.filter();
        this.view?.update();
        this.say();
      });
    }

    actions() {
      return {
        go: (i) => this.go(i), changed: () => this.changed(),
        pin: (i) => { this.model.togglePin(i); this.changed(); },
      };
    }

    say() {
      const { model } = this;
      const drawn = this.view && this.view.drawn.size < model.edgesLeft
        ? `; the strongest ${this.view.drawn.size} are drawn` : "";
      this.counts.textContent =
        `${model.nodesLeft} of ${model.count} nodes, ${model.edgesLeft} of ${model.weight.length} edges${drawn}`;
      this.side.replaceChildren(...own.details(model, this.actions()));
      this.pins.replaceChildren(...own.groups(model, this.actions(), this.checked));
      this.list.replaceChildren(...this.nodes());
    }

    nodes() {
      const { model, found } = this;
      const shown = model.nodeOrder.filter((i) => model.nodeShown[i] && (!found || found.has(i)));
      const item = (i) => element("li", {}, [
        element("span", { class: `dot dot-${model.data.kind[i]}` }), button(text(model.title(i), 40), () => this.go(i)), " ",
        element("small", {}, text(own.shown(model.token(i)), 16)),
      ]);
      const title = found ? `Found: ${shown.length} nodes` : `Nodes, the most influential first: ${shown.length}`;
      return [own.heading(title), element("ol", {}, shown.slice(0, LISTED).map(item)),
        ...(shown.length > LISTED ? [note(`${shown.length - LISTED} more; find them by name.`)] : [])];
    }

    key(event) {
      const steps = { ArrowUp: [0, 1], ArrowDown: [0, -1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };
      const acts = {
        "+": () => this.view?.zoom(0.7), "-": () => this.view?.zoom(1.4), 0: () => this.view?.home(),
        Escape: () => this.go(-1), p: () => { if (this.model.clicked >= 0) this.actions().pin(this.model.clicked); },
      };
      if (steps[event.key]) this.go(this.view?.next(...steps[event.key]) ?? -1);
      else if (acts[event.key]) acts[event.key]();
      else return;
      event.preventDefault();
    }

    download() {
      const content = JSON.stringify(this.model.document());
      const link = element("a", { download: `${this.model.data.document.metadata.slug || "graph"}.json` });
      link.href = URL.createObjectURL(new Blob([content], { type: "application/json" }));
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    }

    close() {
      this.view?.end();
      this.view = undefined;
      this.place.dataset.open = "no";
      this.place.replaceChildren(opener(this.place, this));
    }
  }

  /* One graph is open at a time: browsers draw few WebGL pictures at once. */
  function openGraph(place, explorer) {
    open?.close();
    const data = () => JSON.parse(document.getElementById(place.dataset.of + "-data").textContent);
    open = explorer ?? new Explorer(place, data());
    try {
      open.show();
    } catch (error) {
      place.replaceChildren(note(`This graph could not be drawn: ${error.message}`));
      console.error(error);
    }
    own.open = open;
  }

  function opener(place, explorer) {
    return button("Open the graph", () => openGraph(place, explorer), { class: "open-graph" });
  }

  /* After other scripts have read the page as it came. */
  document.addEventListener("DOMContentLoaded", () => {
    const places = [...document.querySelectorAll(".graph")];
    places.forEach((place) => place.replaceChildren(opener(place)));
    if (places.length) openGraph(places[0]);
  });
  window.addEventListener("beforeprint", () => open?.view?.freeze());
  window.addEventListener("afterprint", () => open?.view?.thaw());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    open?.view?.readColours();
    open?.changed();
  });
})(window.causewayGraph);
