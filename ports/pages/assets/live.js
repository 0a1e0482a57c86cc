/* Keeps a served page as new as its folder: asks for the version, and puts in the sections that have changed. Those
   that have not stay as they are, with what is open in them; what is in view stays in view. */
(function () {
  "use strict";
  const EVERY = 2000;
  const told = document.getElementById("live");
  const sources = new Map(sections(document).map((one) => [one.id, one.outerHTML]));
  // As it came: drawing charts puts styles of their own into the page.
  const own = shell(document);
  let version = document.documentElement.dataset.version;

  function sections(page) {
    return [...page.querySelectorAll("main > section")];
  }

  /* What a page has beside its sections: a first chart or a first graph brings scripts and styles. */
  function shell(page) {
    const drawn = [".chart", ".graph"].filter((kind) => page.querySelector(kind));
    return drawn + " " + page.querySelector("head style").textContent.length;
  }

  function inView() {
    const found = sections(document).find((one) => one.getBoundingClientRect().bottom > 0);
    return found ? { id: found.id, top: found.getBoundingClientRect().top } : null;
  }

  function keepInView(seen) {
    const found = seen && window.scrollY > 0 && document.getElementById(seen.id);
    if (found) window.scrollBy({ top: found.getBoundingClientRect().top - seen.top, behavior: "instant" });
  }

  function open(from, to) {
    const names = [...from.querySelectorAll("details[open] > summary")].map((one) => one.textContent);
    for (const summary of to.querySelectorAll("details > summary")) {
      if (names.includes(summary.textContent)) summary.parentElement.open = true;
    }
  }

  /* Puts the new sections in the old ones' places; those that are new, in order. */
  function exchange(next) {
    const main = document.getElementById("content");
    const fresh = [];
    let place = main.firstElementChild;
    for (const section of sections(next)) {
      const old = document.getElementById(section.id);
      const same = old && sources.get(section.id) === section.outerHTML;
      const made = same ? old : document.importNode(section, true);
      if (old === place && place) place = place.nextElementSibling;
      if (old && !same) {
        open(old, made);
        made.style.minHeight = old.offsetHeight + "px";
        old.remove();
      }
      main.insertBefore(made, place);
      sources.set(section.id, section.outerHTML);
      if (!same) fresh.push(made);
    }
    while (place) {
      const gone = place;
      place = place.nextElementSibling;
      gone.remove();
    }
    return fresh;
  }

  async function update(now) {
    const answer = await fetch("/", { cache: "no-store" });
    const next = new DOMParser().parseFromString(await answer.text(), "text/html");
    const changed = sections(next).filter((one) => sources.get(one.id) !== one.outerHTML);
    if (shell(next) !== own || changed.some((one) => one.querySelector(".graph"))) {
      location.reload();
      return;
    }
    const seen = inView();
    const fresh = exchange(next);
    for (const part of ["nav", "footer", "#note"]) {
      document.querySelector(part).replaceWith(document.importNode(next.querySelector(part), true));
    }
    document.title = next.title;
    keepInView(seen);
    await window.causewayDraw(fresh.flatMap((one) => [...one.querySelectorAll(".chart")]));
    fresh.forEach((one) => { one.style.minHeight = ""; });
    keepInView(seen);
    version = now;
    document.documentElement.dataset.version = version;
    told.textContent = "Live. Last change seen at " + new Date().toLocaleTimeString() + ".";
  }

  async function look() {
    try {
      const now = await (await fetch("/version", { cache: "no-store" })).text();
      if (now !== version) await update(now);
    } catch (error) {
      told.textContent = "causeway serve does not answer any more; this is the page as it was.";
    }
    setTimeout(look, EVERY);
  }

  setTimeout(look, EVERY);
})();
