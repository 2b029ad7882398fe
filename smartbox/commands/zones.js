// The page of `smartbox zones`: state in `zones`, everything shown is drawn anew from it by `render`.
// A zone: {id, kind: "polygon" | "line" | "slots", shapes: [{name, points: [[x, y], …]}]}, coordinates 0-1, y down.
const data = JSON.parse(document.getElementById("data").textContent);
const $ = id => document.getElementById(id);
const stage = $("stage"), W = data.width, H = data.height;
let zones = data.zones, tool = "select", draft = null, chosen = null, grid = true, pointer = null, drag = null;
let past = [], future = [], copied = JSON.stringify(zones);

// --- state ---
const snapshot = () => JSON.stringify(zones);
function remember() { past.push(snapshot()); future = []; }
function change(how) { remember(); how(); render(); }
function travel(from, to) {
  if (!from.length) return;
  to.push(snapshot());
  zones = JSON.parse(from.pop());
  chosen = draft = null;
  render();
}
const shapeOf = c => c && zones[c.z] && zones[c.z].shapes[c.s];
const round = v => Math.round(Math.min(1, Math.max(0, v)) * 1e4) / 1e4;
function fresh(base, taken) {
  if (!taken.has(base) && base !== "zone" && base !== "line") return base;
  for (let i = 1; ; i++) if (!taken.has(`${base}-${i}`)) return `${base}-${i}`;
}
const ids = () => new Set([...zones.map(z => z.id), ...data.others.map(o => o.id)]);
function slotName(zone) {
  const names = new Set(zone.shapes.map(s => s.name));
  for (let i = 1; ; i++) if (!names.has(`P${i}`)) return `P${i}`;
}

// --- what is wrong with it: the same limits as the configuration's ---
function area(points) {
  return Math.abs(points.reduce((sum, [x, y], i) => {
    const [u, v] = points[(i + 1) % points.length];
    return sum + x * v - u * y;
  }, 0)) / 2;
}
function crossesItself(p) {
  const turn = (a, b, c) => (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);
  const cuts = (a, b, c, d) => turn(a, b, c) * turn(a, b, d) < 0 && turn(c, d, a) * turn(c, d, b) < 0;
  for (let i = 0; i < p.length; i++)
    for (let j = i + 2; j < p.length; j++)
      if ((j + 1) % p.length !== i && cuts(p[i], p[i + 1], p[j], p[(j + 1) % p.length])) return true;
  return false;
}
function faults(zone) {
  const found = [];
  if (!/^[a-z0-9-]{1,48}$/.test(zone.id)) found.push("the name takes a-z, 0-9 and -, at most 48");
  if (zones.filter(z => z.id === zone.id).length > 1 || data.others.some(o => o.id === zone.id))
    found.push(`${zone.id} is taken`);
  const names = zone.shapes.map(s => s.name);
  if (zone.kind === "slots" && names.some(n => !n)) found.push("a slot has no name");
  if (new Set(names).size < names.length) found.push("two slots have one name");
  if (names.length > 500) found.push("at most 500 slots");
  for (const { name, points } of zone.shapes) {
    const who = name ? name + ": " : "";
    if (zone.kind === "line") {
      if (String(points[0]) === String(points[1])) found.push("its two points are the same");
    } else if (points.length < 3 || points.length > 32) found.push(who + "3 to 32 corners");
    else if (area(points) < 1e-5) found.push(who + "has no area");
    else if (crossesItself(points)) found.push(who + "its edges cross one another");
  }
  return found;
}

// --- YAML ---
const key = k => /^[A-Za-z][\w-]*$/.test(k) && !/^(y|n|yes|no|on|off|true|false|null)$/i.test(k) ? k : JSON.stringify(k);
const list = points => `[${points.map(([x, y]) => `[${x}, ${y}]`).join(", ")}]`;
function entry(zone, source) {
  const head = `  ${key(zone.id)}: {source: ${key(source)}, `;
  if (zone.kind !== "slots") return `${head}${zone.kind}: ${list(zone.shapes[0].points)}}`;
  const slots = zone.shapes.map(s => `      ${key(s.name)}: ${list(s.points)}`);
  return `  ${key(zone.id)}:\n    source: ${key(source)}\n    slots:\n${slots.join("\n")}`;
}
function yaml() {
  const others = $("others").checked ? data.others.map(o => entry(o, o.source)) : [];
  const all = [...zones.map(z => entry(z, data.source)), ...others];
  return all.length ? `zones:\n${all.join("\n")}\n` : "zones: {}\n";
}

// --- drawing ---
function node(parent, name, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [k, v] of Object.entries(attributes)) made.setAttribute(k, v);
  if (text !== undefined) made.textContent = text;
  parent.appendChild(made);
  return made;
}
const px = ([x, y]) => [x * W, y * H];
const path = points => points.map(p => px(p).join(",")).join(" ");
const unit = () => Math.max(W / (stage.clientWidth || W), H / (stage.clientHeight || H)); // picture px of a screen px
const css = zone => zone.kind === "slots" ? "slotted" : zone.kind;

stage.setAttribute("viewBox", `0 0 ${W} ${H}`);
node(stage, "image", { href: data.image, width: W, height: H });
const layer = node(stage, "g", {});

function renderStage() {
  layer.replaceChildren();
  const u = unit();
  if (grid) for (let i = 1; i < 10; i++) {
    node(layer, "line", { class: "grid", x1: W * i / 10, x2: W * i / 10, y1: 0, y2: H, "stroke-width": u });
    node(layer, "line", { class: "grid", y1: H * i / 10, y2: H * i / 10, x1: 0, x2: W, "stroke-width": u });
    node(layer, "text", { class: "scale", x: W * i / 10 + 3 * u, y: 9 * u, "font-size": 11 * u }, (i / 10).toFixed(1));
    node(layer, "text", { class: "scale", x: 3 * u, y: H * i / 10 - 7 * u, "font-size": 11 * u }, (i / 10).toFixed(1));
  }
  const all = zones.flatMap((zone, z) => zone.shapes.map((shape, s) => ({ zone, z, shape, s })));
  const size = ({ zone, shape }) => zone.kind === "line" ? 0 : area(shape.points);
  all.sort((a, b) => size(b) - size(a)); // small ones on top, else a large one could not be clicked past
  for (const { zone, z, shape, s } of all) renderShape(zone, z, shape, s, u);
  if (shapeOf(chosen) && tool === "select") renderCorners(shapeOf(chosen), zones[chosen.z], u);
  if (draft) renderDraft(u);
}
function renderShape(zone, z, shape, s, u) {
  const on = chosen && chosen.z === z && chosen.s === s, points = shape.points;
  const mark = { "data-z": z, "data-s": s };
  const group = node(layer, "g", { class: css(zone) });
  if (zone.kind === "line") {
    const [a, b] = points.map(px), along = [b[0] - a[0], b[1] - a[1]], n = Math.hypot(...along) || 1;
    const right = [-along[1] / n, along[0] / n], m = [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2], l = 26 * u;
    const tip = [m[0] + right[0] * l, m[1] + right[1] * l], w = 8 * u;
    node(group, "line", { class: "shape" + (on ? " on" : ""), x1: a[0], y1: a[1], x2: b[0], y2: b[1] });
    node(group, "line", { class: "thin", x1: m[0] - right[0] * l, y1: m[1] - right[1] * l, x2: tip[0], y2: tip[1] });
    const barb = k => [tip[0] - right[0] * w + k * right[1] * w, tip[1] - right[1] * w - k * right[0] * w].join(",");
    node(group, "polyline", { class: "thin", points: `${barb(1)} ${tip.join(",")} ${barb(-1)}` });
    node(group, "line", { class: "grab", x1: a[0], y1: a[1], x2: b[0], y2: b[1], ...mark });
    node(group, "text", { x: tip[0] + right[0] * 12 * u, y: tip[1] + right[1] * 12 * u, "font-size": 12 * u }, "in");
    node(group, "text", { x: a[0], y: a[1] - 14 * u, "font-size": 14 * u }, zone.id);
    return;
  }
  node(group, "polygon", { class: "shape" + (on ? " on" : ""), points: path(points), ...mark });
  const [x, y] = px([0, 1].map(k => points.reduce((sum, p) => sum + p[k], 0) / points.length));
  node(group, "text", { x, y, "font-size": (zone.kind === "slots" ? 12 : 15) * u }, shape.name || zone.id);
}
function renderCorners(shape, zone, u) {
  const n = shape.points.length, mark = { "data-z": chosen.z, "data-s": chosen.s };
  if (zone.kind !== "line" && n < 32) shape.points.forEach((p, e) => {
    const [a, b] = [px(p), px(shape.points[(e + 1) % n])];
    const at = { cx: (a[0] + b[0]) / 2, cy: (a[1] + b[1]) / 2, r: 5 * u };
    node(layer, "circle", { class: "middle", ...at, ...mark, "data-e": e });
  });
  shape.points.forEach((p, v) => {
    const [cx, cy] = px(p), on = chosen.v === v ? " on" : "";
    node(layer, "circle", { class: "corner" + on, cx, cy, r: 6 * u, ...mark, "data-v": v });
  });
}
function renderDraft(u) {
  const group = node(layer, "g", { class: tool === "slots" ? "slotted" : tool });
  const points = pointer ? [...draft, pointer] : draft;
  node(group, "polyline", { class: "thin", points: path(points), "stroke-dasharray": `${6 * u} ${4 * u}` });
  draft.forEach((p, i) => {
    const [cx, cy] = px(p);
    node(group, "circle", { class: "corner", cx, cy, r: (i ? 4 : 7) * u, "pointer-events": "none" });
  });
}

// --- the panel ---
function element(parent, name, properties, text) {
  const made = Object.assign(document.createElement(name), properties);
  if (text !== undefined) made.textContent = text;
  parent.appendChild(made);
  return made;
}
function renderList() {
  const focused = document.activeElement && document.activeElement.dataset ? document.activeElement.dataset.key : null;
  $("list").replaceChildren();
  if (!zones.length) element($("list"), "div", { className: "dim" }, "None yet. Press P and click round a place.");
  zones.forEach((zone, z) => {
    const on = chosen && chosen.z === z;
    const box = element($("list"), "div", { className: `zone ${css(zone)}${on ? " on" : ""}` });
    const row = element(box, "div", { className: "row" });
    const id = element(row, "input", { className: "id", value: zone.id, spellcheck: false, ariaLabel: "Name of the zone" });
    field(id, `z${z}`, value => { zone.id = value; }, { z, s: 0 });
    const n = zone.kind === "slots" ? `${zone.shapes.length} slots` : zone.kind;
    element(row, "span", { className: "dim" }, n);
    if (zone.kind === "line") element(row, "button", { onclick: () => turn(z), title: "Turn round (F)" }, "⇄");
    element(row, "button", { onclick: () => drop(z), title: "Delete the zone", ariaLabel: `Delete ${zone.id}` }, "✕");
    if (zone.kind === "slots") renderSlots(box, zone, z);
    for (const fault of faults(zone)) element(box, "div", { className: "bad" }, fault);
  });
  if (focused) { const again = document.querySelector(`[data-key="${focused}"]`); if (again) again.focus(); }
}
function renderSlots(box, zone, z) {
  const rows = element(box, "div", { className: "slots" });
  zone.shapes.forEach((slot, s) => {
    const on = chosen && chosen.z === z && chosen.s === s;
    const name = element(rows, "input", { value: slot.name, className: on ? "on" : "", ariaLabel: "Name of the slot" });
    field(name, `z${z}s${s}`, value => { slot.name = value; }, { z, s });
  });
  const slot = chosen && chosen.z === z && shapeOf(chosen);
  if (!slot || slot.points.length !== 4) return;
  const row = element(box, "div", { className: "row dim" }, `Split ${slot.name} into`);
  const n = element(row, "input", { type: "number", min: 2, max: 50, value: 2, id: "pieces", style: "width:4.5rem" });
  element(row, "button", { id: "split", onclick: () => split(chosen, Number(n.value)) }, "slots");
}
// A name: choosing it chooses the shape; typing keeps the caret, one undo step for the whole visit.
function field(input, name, set, place) {
  input.dataset.key = name;
  let before = null;
  input.onfocus = () => {
    before = snapshot();
    if (!chosen || chosen.z !== place.z || (place.s && chosen.s !== place.s)) { chosen = { ...place }; renderStage(); }
  };
  input.oninput = () => { set(input.value.trim()); renderStage(); renderYaml(); };
  input.onchange = () => { past.push(before); future = []; before = snapshot(); render(); };
}
function renderYaml() {
  const bad = zones.some(z => faults(z).length);
  $("yaml").textContent = yaml();
  $("copy").disabled = bad;
  $("advice").textContent = bad ? "Put right what is marked in red first." :
    $("others").checked || !data.others.length ? `Replace the block zones: in ${data.file} with this.` :
    `Put these under zones: in ${data.file}.`;
}
const HINTS = {
  select: "Click a zone to change it; P, L or S draws a new one.",
  polygon: "Click the corners. Enter, a double click or the first corner finishes.",
  line: "Click the two ends. Crossing it along the arrow counts as in.",
  slots: "Click the four corners of each slot: front left, front right, back right, back left.",
};
function render() {
  if (chosen && !shapeOf(chosen)) chosen = null;
  renderStage(); renderList(); renderYaml();
  for (const b of document.querySelectorAll("[data-tool]")) b.setAttribute("aria-pressed", b.dataset.tool === tool);
  stage.classList.toggle("draw", tool !== "select");
  $("undo").disabled = !past.length; $("redo").disabled = !future.length;
  $("grid").setAttribute("aria-pressed", grid);
  $("what").textContent = HINTS[tool];
}

// --- acts ---
function choose(name) { tool = name; draft = null; if (name !== "select") chosen = null; render(); stage.focus(); }
function drop(z) { change(() => { zones.splice(z, 1); chosen = null; }); }
function turn(z) { change(() => zones[z].shapes[0].points.reverse()); }
function finish() {
  if (!draft || draft.length < (tool === "line" ? 2 : 3)) return;
  const points = draft, kind = tool;
  draft = null;
  change(() => {
    let z = kind === "slots" ? zones.findIndex(zone => zone.kind === "slots") : -1;
    if (z < 0) z = zones.push({ id: fresh({ polygon: "zone", line: "line", slots: "lot" }[kind], ids()), kind, shapes: [] }) - 1;
    zones[z].shapes.push({ name: kind === "slots" ? slotName(zones[z]) : "", points });
    chosen = { z, s: zones[z].shapes.length - 1 };
    if (kind !== "slots") tool = "select"; // slots come in dozens, the others by one
  });
  if (kind === "slots") return;
  const name = document.querySelector(`[data-key="z${chosen.z}"]`);
  name.focus(); name.select();
}
function erase() {
  if (draft) { draft.pop(); if (!draft.length) draft = null; render(); return; }
  const shape = shapeOf(chosen);
  if (!shape) return;
  const zone = zones[chosen.z], spare = zone.kind !== "line" && shape.points.length > 3;
  change(() => {
    if (chosen.v !== undefined && spare) { shape.points.splice(chosen.v, 1); delete chosen.v; return; }
    zone.shapes.splice(chosen.s, 1);
    if (!zone.shapes.length) zones.splice(chosen.z, 1);
    chosen = null;
  });
}
function move(shape, v, dx, dy, from) {
  const at = from || shape.points, moved = v === undefined ? at.map((_, i) => i) : [v];
  const xs = moved.map(i => at[i][0]), ys = moved.map(i => at[i][1]); // a whole shape stops at the edge, undistorted
  dx = Math.min(Math.max(dx, -Math.min(...xs)), 1 - Math.max(...xs));
  dy = Math.min(Math.max(dy, -Math.min(...ys)), 1 - Math.max(...ys));
  for (const i of moved) shape.points[i] = [round(at[i][0] + dx), round(at[i][1] + dy)];
}
function split(place, n) {
  if (!(n >= 2 && n <= 50)) return;
  change(() => {
    const zone = zones[place.z], [row] = zone.shapes.splice(place.s, 1), [a, b, c, d] = row.points;
    const between = (p, q, t) => [round(p[0] + (q[0] - p[0]) * t), round(p[1] + (q[1] - p[1]) * t)];
    for (let i = 0; i < n; i++) {
      const [t, s] = [i / n, (i + 1) / n];
      const points = [between(a, b, t), between(a, b, s), between(d, c, s), between(d, c, t)];
      zone.shapes.push({ name: slotName(zone), points });
    }
    chosen = { z: place.z, s: zone.shapes.length - 1 };
  });
}
async function copy() {
  if ($("copy").disabled) return;
  try { await navigator.clipboard.writeText(yaml()); } catch {
    getSelection().selectAllChildren($("yaml")); // without permission (a page from a file): the old way
    document.execCommand("copy");
  }
  copied = snapshot();
  $("what").textContent = "Copied.";
}

// --- pointer ---
function locate(event) {
  const p = new DOMPoint(event.clientX, event.clientY).matrixTransform(stage.getScreenCTM().inverse());
  const snap = (v, size) => { const reach = 8 * unit(); return v < reach ? 0 : v > size - reach ? 1 : round(v / size); };
  return [snap(p.x, W), snap(p.y, H)];
}
const near = (p, q, reach) => Math.hypot((p[0] - q[0]) * W, (p[1] - q[1]) * H) <= reach * unit();
function press(event) {
  if (event.button) return;
  const at = locate(event), touch = event.pointerType === "touch" ? 2.2 : 1;
  if (document.activeElement && document.activeElement !== stage) document.activeElement.blur();
  stage.focus({ preventScroll: true });
  if (tool !== "select") {
    draft = draft || [];
    if (draft.length > 2 && near(at, draft[0], 10 * touch)) return finish();
    if (draft.length && near(at, draft[draft.length - 1], 4 * touch)) return event.detail > 1 ? finish() : undefined;
    draft.push(at);
    if (draft.length === { line: 2, slots: 4, polygon: 32 }[tool]) return finish();
    return render();
  }
  const { z, s, v, e } = event.target.dataset || {};
  if (z === undefined) { chosen = null; return render(); }
  chosen = { z: Number(z), s: Number(s) };
  const shape = shapeOf(chosen), before = snapshot();
  if (e !== undefined) { shape.points.splice(Number(e) + 1, 0, at); chosen.v = Number(e) + 1; }
  else if (v !== undefined) chosen.v = Number(v);
  drag = { from: JSON.parse(JSON.stringify(shape.points)), at, before, moved: e !== undefined };
  stage.setPointerCapture(event.pointerId);
  render();
}
function follow(event) {
  pointer = locate(event);
  $("where").textContent = `x ${pointer[0].toFixed(3)}  y ${pointer[1].toFixed(3)}`;
  if (drag) {
    const dx = pointer[0] - drag.at[0], dy = pointer[1] - drag.at[1];
    if (!drag.moved && near(pointer, drag.at, 2)) return;
    drag.moved = true;
    move(shapeOf(chosen), chosen.v, dx, dy, drag.from);
    renderStage(); renderYaml();
  } else if (draft) renderStage();
}
function release() {
  if (drag && drag.moved) { past.push(drag.before); future = []; }
  if (drag) { drag = null; render(); }
}
stage.addEventListener("pointerdown", press);
stage.addEventListener("pointermove", follow);
stage.addEventListener("pointerup", release);
stage.addEventListener("pointercancel", release);
stage.addEventListener("pointerleave", () => { pointer = null; if (draft) renderStage(); });

// --- keys and buttons ---
const KEYS = {
  v: () => choose("select"), p: () => choose("polygon"), l: () => choose("line"), s: () => choose("slots"),
  g: () => { grid = !grid; render(); }, c: copy, "?": () => $("keys").showModal(), enter: finish,
  f: () => { if (chosen && zones[chosen.z].kind === "line") turn(chosen.z); },
  backspace: erase, delete: erase,
  escape: () => { if (draft) draft = null; else if (tool !== "select") tool = "select"; else chosen = null; render(); },
};
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
document.addEventListener("keydown", event => {
  if ($("keys").open) return;
  const typing = event.target.tagName === "INPUT" && event.target.type !== "checkbox";
  const letter = event.key.toLowerCase();
  if (typing) { if (["enter", "escape"].includes(letter)) { event.target.blur(); stage.focus(); } return; }
  if (event.ctrlKey || event.metaKey) {
    if (letter === "z" && !event.shiftKey) travel(past, future);
    else if (letter === "y" || letter === "z") travel(future, past);
    else return;
  } else if (STEPS[event.key] && shapeOf(chosen)) {
    const step = event.shiftKey ? 0.01 : 0.001, [dx, dy] = STEPS[event.key];
    change(() => move(shapeOf(chosen), chosen.v, dx * step, dy * step));
  } else if (KEYS[letter] && !(event.target.tagName === "BUTTON" && letter === "enter")) KEYS[letter]();
  else return;
  event.preventDefault();
});
for (const b of document.querySelectorAll("[data-tool]")) b.onclick = () => choose(b.dataset.tool);
$("undo").onclick = () => travel(past, future);
$("redo").onclick = () => travel(future, past);
$("grid").onclick = KEYS.g;
$("help").onclick = KEYS["?"];
$("copy").onclick = copy;
$("others").onchange = renderYaml;
$("others-row").hidden = !data.others.length;
$("source").textContent = data.source;
$("size").textContent = `${W} × ${H}`;
document.title = `Zones of ${data.source}`;
addEventListener("resize", renderStage);
addEventListener("beforeunload", event => { if (snapshot() !== copied) event.preventDefault(); });
render();
