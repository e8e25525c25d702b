"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const one = (id) => document.getElementById(id);

  // Tables: a click on a column's name sorts by it, a second one turns the order.
  for (const table of all("table.sortable")) {
    const heads = all("thead th", table);
    heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") !== "descending" && column > 0
        || head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const body = table.tBodies[0];
      const value = (row) => row.cells[column].dataset.v;
      const order = (a, b) => column ? value(a) - value(b) : value(a).localeCompare(value(b));
      [...body.rows].sort((a, b) => down ? order(b, a) : order(a, b))
        .forEach((row) => body.append(row));
    }));
  }

  const box = one("box");
  if (!box) return;

  // The gallery: masks by class and score; a picture whose masks are all filtered away goes too.
  const cards = all("#cards .card");
  const boxes = all("[data-class]");
  const numbers = all("[data-count]");
  const slider = one("score");
  const start = slider.defaultValue;
  const paths = (root) => all("path", root);

  const counted = (shapes) => {
    const counts = new Map();
    for (const shape of shapes) {
      counts.set(shape.dataset.n, (counts.get(shape.dataset.n) || 0) + 1);
    }
    return [...counts].sort((a, b) => b[1] - a[1]).map(([name, n]) => `${n} ${name}`).join(", ");
  };

  const filter = () => {
    const chosen = new Set(boxes.filter((b) => b.checked).map((b) => b.dataset.class));
    const least = Number(slider.value);
    // Where it began, within half a step, each class has its own score, if any.
    const untouched = Math.abs(least - Number(start)) < 0.0026;
    const narrowed = chosen.size < boxes.length || least > Number(start);
    const counts = new Map();
    let images = 0, masks = 0;
    for (const card of cards) {
      const shapes = paths(card).filter((shape) => {
        const good = Number(shape.dataset.s) >= (untouched && shape.dataset.m || least);
        if (good) counts.set(shape.dataset.c, (counts.get(shape.dataset.c) || 0) + 1);
        const on = good && chosen.has(shape.dataset.c);
        shape.classList.toggle("off", !on);
        return on;
      });
      card.hidden = narrowed && !shapes.length;
      card.querySelector(".count").textContent = counted(shapes) || "nothing found";
      images += !card.hidden;
      masks += shapes.length;
    }
    for (const number of numbers) {
      number.textContent = counts.get(number.dataset.count) || 0;
    }
    const own = untouched && cards.length && document.querySelector("path[data-m]");
    one("score-out").textContent = own ? "its class's" : least.toFixed(2);
    one("shown").textContent = `${masks} masks in ${images} pictures`;
    one("nothing").hidden = images > 0;
  };

  const check = (on) => () => {
    boxes.forEach((b) => { b.checked = on; });
    filter();
  };
  boxes.forEach((b) => b.addEventListener("change", filter));
  slider.addEventListener("input", filter);
  one("all").addEventListener("click", check(true));
  one("none").addEventListener("click", check(false));
  const fill = () => document.body.classList.toggle("filled", one("fill").checked);
  one("fill").addEventListener("change", fill);
  document.querySelector(".filters").addEventListener("submit", (e) => e.preventDefault());

  // One picture, large.
  let current = null;
  const visible = () => cards.filter((card) => !card.hidden);

  const show = (card) => {
    current = card;
    const frame = one("box-frame");
    const picture = card.querySelector("img").cloneNode();
    picture.loading = "eager";
    frame.replaceChildren(picture, card.querySelector("svg").cloneNode(true));
    one("box-name").textContent = card.dataset.key;
    const shown = visible();
    one("box-place").textContent = `${shown.indexOf(card) + 1} of ${shown.length}`;
    const list = paths(card).filter((s) => !s.classList.contains("off")).reverse();
    one("box-list").replaceChildren(...list.map((shape) => {
      const item = document.createElement("li");
      item.className = `k${shape.dataset.c}`;
      const name = document.createElement("bdi");
      name.textContent = shape.dataset.n;
      item.append(document.createElement("i"), name, ` ${Number(shape.dataset.s).toFixed(2)}`);
      return item;
    }));
  };

  const step = (by) => {
    const shown = visible();
    const next = shown[(shown.indexOf(current) + by + shown.length) % shown.length];
    if (next) show(next);
  };

  one("cards").addEventListener("click", (event) => {
    const card = event.target.closest(".card");
    if (!card) return;
    show(card);
    box.showModal();
    one("close").focus();
  });
  one("close").addEventListener("click", () => box.close());
  one("prev").addEventListener("click", () => step(-1));
  one("next").addEventListener("click", () => step(1));
  box.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by) { event.preventDefault(); step(by); }
  });
  box.addEventListener("close", () => {
    if (!current) return;
    const button = current.querySelector("button");
    button.focus();
    button.scrollIntoView({ block: "nearest" });
  });

  fill();
  filter();
})();
