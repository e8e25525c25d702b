"use strict";
(() => {
  const one = (id) => document.getElementById(id);
  const body = document.body;
  const width = Number(body.dataset.width), height = Number(body.dataset.height);
  const svg = one("svg");
  const FIELDS = ["name", "own", "use", "measure", "share"];

  // A zone: its properties and `parts`, lists of rings of [x, y] in px of the frame; a line is one
  // part of one path. `extra` are properties of other tools, which are written again.
  let zones = [];
  let selected = null;   // a zone
  let drawing = null;    // "polygon" or "line"
  let corners = [];
  let changed = false;

  const made = (kind, parts, properties = {}) => {
    const { name, camera, use, measure, share, units, frame, ...extra } = properties;
    return {
      kind, parts, extra, name: name ?? "", camera: camera ?? "*", use: use ?? "label",
      measure: measure ?? "lower edge", share: share ?? 0.5,
    };
  };

  // ---- geometry

  const turn = (a, b, p) => Math.sign((b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0]));
  const same = (a, b) => a[0] === b[0] && a[1] === b[1];
  const within = (a, b, p) => Math.min(a[0], b[0]) <= p[0] && p[0] <= Math.max(a[0], b[0])
    && Math.min(a[1], b[1]) <= p[1] && p[1] <= Math.max(a[1], b[1]);

  const meet = (a, b, c, d) => {
    const [s, t, u, v] = [turn(a, b, c), turn(a, b, d), turn(c, d, a), turn(c, d, b)];
    if (s * t < 0 && u * v < 0) return true;
    return (!s && within(a, b, c)) || (!t && within(a, b, d))
      || (!u && within(c, d, a)) || (!v && within(c, d, b));
  };

  const crosses = (rings) => {
    const sides = rings.flatMap((ring) => ring.map((p, i) => [p, ring[(i + 1) % ring.length]]));
    return sides.some(([a, b], i) => sides.some(([c, d], j) =>
      j > i && !same(b, c) && !same(d, a) && meet(a, b, c, d)));
  };

  const wrong = (zone) => {
    if (!zone.name.trim()) return "a zone has no name";
    if (!zone.camera.trim()) return `zone ${zone.name} has no camera; * is all cameras`;
    if (zones.some((z) => z !== zone && z.name.trim() === zone.name.trim()
      && z.camera.trim() === zone.camera.trim())) {
      return `two zones of one camera have the name ${zone.name}`;
    }
    if (!(zone.share > 0 && zone.share <= 1)) return `the share of ${zone.name} is not from 0 to 1`;
    if (zone.kind === "polygon" && zone.parts.some(crosses)) {
      return `the outline of ${zone.name} crosses or touches itself`;
    }
    return "";
  };

  // ---- the file

  const text = () => {
    const inPx = one("units").value === "px";
    const round = (v, side) => inPx ? Math.round(10 * v) / 10 : Math.round(1e5 * v / side) / 1e5;
    const point = ([x, y]) => [round(x, width), round(y, height)];
    const closed = (ring) => [...ring, ring[0]].map(point);
    const features = zones.map((zone) => {
      const properties = { name: zone.name.trim(), camera: zone.camera.trim(),
        units: inPx ? "px" : "share" };
      if (inPx) properties.frame = [width, height];
      let geometry;
      if (zone.kind === "line") {
        geometry = { type: "LineString", coordinates: zone.parts[0][0].map(point) };
      } else {
        Object.assign(properties, { use: zone.use, measure: zone.measure, share: zone.share });
        const rings = zone.parts.map((part) => part.map(closed));
        geometry = rings.length === 1 ? { type: "Polygon", coordinates: rings[0] }
          : { type: "MultiPolygon", coordinates: rings };
      }
      return { type: "Feature", properties: { ...zone.extra, ...properties }, geometry };
    });
    const lines = features.map((feature) => "  " + JSON.stringify(feature)).join(",\n");
    return `{"type": "FeatureCollection", "features": [\n${lines}\n]}\n`;
  };

  const read = (content) => content.features.map(({ properties, geometry }) => {
    const [wide, tall] = properties.units === "px" ? properties.frame : [1, 1];
    const path = (points) => points.map(([x, y]) => [x / wide * width, y / tall * height]);
    const ring = (points) => {
      const p = path(points);
      return same(p[0], p[p.length - 1]) ? p.slice(0, -1) : p;
    };
    const { type, coordinates } = geometry;
    if (type === "LineString") return made("line", [[path(coordinates)]], properties);
    const parts = type === "Polygon" ? [coordinates] : coordinates;
    return made("polygon", parts.map((rings) => rings.map(ring)), properties);
  });

  // ---- the picture

  const add = (name, attributes, parent = svg) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    parent.append(made);
    return made;
  };
  const unit = () => width / Math.max(1, svg.getBoundingClientRect().width);  // px of the frame

  const outline = (zone) => zone.parts.flat().map((path) =>
    "M" + path.map((p) => p.join(" ")).join("L") + (zone.kind === "line" ? "" : "Z")).join("");

  // From the middle of a line to its right hand, seen along its way.
  const arrow = (path) => {
    const i = Math.floor((path.length - 2) / 2), [a, b] = [path[i], path[i + 1]];
    const long = Math.hypot(b[0] - a[0], b[1] - a[1]) || 1;
    const [dx, dy] = [(b[0] - a[0]) / long, (b[1] - a[1]) / long], size = 28 * unit();
    const [mx, my] = [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
    const [tx, ty] = [mx - dy * size, my + dx * size], head = size / 3;
    const wing = (s) => `${tx + dy * head + s * dx * head} ${ty - dx * head + s * dy * head}`;
    return `M${mx} ${my}L${tx} ${ty}M${wing(1)}L${tx} ${ty}L${wing(-1)}`;
  };

  const isShown = (zone) => {
    const camera = one("camera").value.trim();
    return camera === "*" || zone.camera === "*" || zone.camera === camera || zone === selected;
  };

  const draw = () => {
    svg.replaceChildren();
    zones.forEach((zone, index) => {
      if (!isShown(zone)) return;
      const group = add("g", { class: `k${index % 8}` });
      add("path", { class: "halo", d: outline(zone) }, group);
      const bad = wrong(zone) ? " wrong" : "", on = zone === selected ? " on" : "";
      const kind = zone.kind === "line" ? " line" : "";
      const shape = add("path", { class: `shape${kind}${on}${bad}`, d: outline(zone) }, group);
      shape.addEventListener("click", () => { if (!drawing) select(zone); });
      if (zone.kind === "line") {
        add("path", { class: "halo", d: arrow(zone.parts[0][0]) }, group);
        add("path", { class: "entry", d: arrow(zone.parts[0][0]) }, group);
      }
      if (zone === selected) {
        for (const path of zone.parts.flat()) path.forEach((p, i) => handle(group, path, i));
      }
    });
    if (drawing) {
      const group = add("g", { class: `k${zones.length % 8}` });
      if (corners.length) {
        const d = "M" + corners.map((p) => p.join(" ")).join("L");
        add("path", { class: "halo", d }, group);
        add("path", { class: "shape line", d }, group);
      }
      for (const [x, y] of corners) add("circle", { class: "point", cx: x, cy: y, r: 6 * unit() }, group);
    }
  };

  const place = (event) => {
    const box = svg.getBoundingClientRect();
    const share = (v, side) => Math.min(Math.max(v / side, 0), 1);
    return [share(event.clientX - box.left, box.width) * width,
      share(event.clientY - box.top, box.height) * height];
  };

  const handle = (group, path, i) => {
    const [cx, cy] = path[i];
    const circle = add("circle", { class: "point", cx, cy, r: 7 * unit() }, group);
    circle.addEventListener("pointerdown", (event) => {
      if (drawing) return;
      event.preventDefault();
      const move = (e) => { path[i] = place(e); update(); };
      const end = () => {
        window.removeEventListener("pointermove", move);
        window.removeEventListener("pointerup", end);
        window.removeEventListener("pointercancel", end);
      };
      window.addEventListener("pointermove", move);
      window.addEventListener("pointerup", end);
      window.addEventListener("pointercancel", end);
    });
  };

  // ---- the list and the fields

  const show = () => {
    one("list").replaceChildren(...zones.map((zone, index) => {
      const item = document.createElement("li"), button = document.createElement("button");
      const colour = document.createElement("i"), name = document.createElement("bdi");
      const kind = document.createElement("small");
      button.type = "button";
      button.className = `k${index % 8}`;
      button.setAttribute("aria-pressed", zone === selected);
      name.textContent = zone.name || "(no name)";
      const camera = zone.camera === "*" ? "" : ` of ${zone.camera}`;
      kind.textContent = (zone.kind === "line" ? "line" : zone.use) + camera;
      button.append(colour, name, kind);
      button.addEventListener("click", () => select(zone));
      item.append(button);
      return item;
    }));
    one("none").hidden = zones.length > 0;
    one("edit").hidden = !selected;
    for (const part of document.querySelectorAll("#edit .area")) part.hidden = selected?.kind === "line";
    for (const part of document.querySelectorAll("#edit .way")) part.hidden = selected?.kind !== "line";
    one("polygon").setAttribute("aria-pressed", drawing === "polygon");
    one("line").setAttribute("aria-pressed", drawing === "line");
    body.classList.toggle("drawing", Boolean(drawing));
    const bad = zones.map(wrong).find(Boolean) || "";
    one("bad").textContent = bad;
    one("save").disabled = !zones.length || Boolean(bad);
    one("text").value = zones.length ? text() : "";
  };

  const update = () => { changed = true; show(); draw(); };

  const select = (zone) => {
    selected = zone;
    if (zone) {
      [one("name").value, one("own").value] = [zone.name, zone.camera];
      for (const field of ["use", "measure", "share"]) one(field).value = zone[field];
    }
    show();
    draw();
  };

  for (const field of FIELDS) {
    one(field).addEventListener("input", () => {
      const value = one(field).value;
      selected[field === "own" ? "camera" : field] = field === "share" ? Number(value) : value;
      update();
    });
  }
  one("delete").addEventListener("click", () => {
    zones = zones.filter((zone) => zone !== selected);
    selected = null;
    update();
  });
  one("turn").addEventListener("click", () => { selected.parts[0][0].reverse(); update(); });
  for (const field of ["units", "camera"]) {
    one(field).addEventListener("input", () => { show(); draw(); });
  }

  // ---- drawing

  const begin = (kind) => {
    drawing = drawing === kind ? null : kind;
    corners = [];
    select(null);
  };
  one("polygon").addEventListener("click", () => begin("polygon"));
  one("line").addEventListener("click", () => begin("line"));

  const finish = () => {
    if (corners.length < (drawing === "line" ? 2 : 3)) return;
    const stem = drawing === "line" ? "line" : "zone";
    let number = 1;
    while (zones.some((zone) => zone.name === `${stem} ${number}`)) number += 1;
    const camera = one("camera").value.trim() || "*";
    const zone = made(drawing, [[corners]], { name: `${stem} ${number}`, camera });
    zones.push(zone);
    [drawing, corners] = [null, []];
    changed = true;
    select(zone);
    one("name").focus();
    one("name").select();
  };

  svg.addEventListener("click", (event) => {
    if (!drawing) {
      if (event.target === svg) select(null);
      return;
    }
    const p = place(event), near = 12 * unit();
    const close = (q) => Math.hypot(p[0] - q[0], p[1] - q[1]) < near;
    if (drawing === "polygon" && corners.length > 2 && close(corners[0])) return finish();
    if (corners.length && close(corners[corners.length - 1])) return;  // of a double click
    corners.push(p);
    draw();
  });
  svg.addEventListener("dblclick", () => { if (drawing) finish(); });
  document.addEventListener("keydown", (event) => {
    if (!drawing || event.target.closest("input, select, textarea")) return;
    if (event.key === "Enter" && !event.target.closest("button")) finish();
    else if (event.key === "Enter" && corners.length) { event.preventDefault(); finish(); }
    else if (event.key === "Backspace") { corners.pop(); draw(); }
    else if (event.key === "Escape") { [drawing, corners] = [null, []]; show(); draw(); }
  });

  // ---- files

  one("save").addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text()], { type: "application/geo+json" }));
    link.download = body.dataset.file;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    changed = false;
  });
  one("load").addEventListener("change", async (event) => {
    const [file] = event.target.files;
    event.target.value = "";
    if (!file) return;
    try {
      zones = read(JSON.parse(await file.text()));
      changed = false;
      select(null);
    } catch {
      one("bad").textContent = `${file.name} is not a file of zones`;
    }
  });
  window.addEventListener("beforeunload", (event) => { if (changed) event.preventDefault(); });
  window.addEventListener("resize", draw);

  const given = JSON.parse(body.dataset.zones);
  if (given) zones = read(given);
  select(null);
})();
