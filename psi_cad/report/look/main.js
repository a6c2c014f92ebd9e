// The page: reads the scene, lists what is shown and what was clicked, and writes lines to paste into a case file.

const AROUND_MM = 8; // an approach is the mean outward direction this far around the point
const byId = (id) => document.getElementById(id);

function made(tag, text, holder, kind) {
  const element = document.createElement(tag);
  if (text) element.textContent = text;
  if (kind) element.className = kind;
  if (holder) holder.append(element);
  return element;
}

function decoded(scene) {
  const floats = (text) => new Float32Array(bytes(text).buffer);
  for (const body of scene.bodies) {
    body.positions = floats(body.positions);
    body.faces = new Uint32Array(bytes(body.faces).buffer);
  }
  for (const line of scene.lines) line.positions = floats(line.positions);
}

class Page {
  constructor(scene) {
    this.scene = scene;
    this.points = [];
    this.flipped = false;
    decoded(scene);
    scene.moved = (slices) => this.cursor(slices);
    byId("shownbox").hidden = !scene.bodies.length;
    byId("notesbox").hidden = !scene.notes.length;
    for (const note of scene.notes) made("li", note, byId("notes"));
    byId("flip").addEventListener("click", () => { this.flipped = !this.flipped; this.write(); });
    document.addEventListener("keydown", (event) => { if (event.key === "Delete" || event.key === "Backspace") { this.points.pop(); this.write(); } });
  }

  async open() {
    const { scene } = this;
    if (scene.bodies.length) {
      byId("space").hidden = false;
      try {
        this.space = new Space(scene, byId("gl"), byId("over"), (hit) => this.clicked(hit));
        for (const letter of "APLRSI") made("button", letter, byId("views")).addEventListener("click", () => this.space.look(letter));
        made("button", "fit", byId("views")).addEventListener("click", () => this.space.fit());
      } catch (error) {
        byId("space").hidden = true;
        this.trouble("This browser draws no WebGL 2, so the bone cannot be shown; use a current Firefox, Chrome, Edge or Safari, or turn hardware acceleration on.");
      }
      this.bodies();
    }
    if (scene.volume) {
      byId("slices").hidden = byId("cursorbox").hidden = false;
      if (typeof DecompressionStream === "undefined") this.trouble("This browser cannot unpack the scan; use a current Firefox, Chrome, Edge or Safari.");
      else this.slices = new Slices(scene, await unzipped(scene.volume.data), byId("planes"), byId("window"), (point) => this.add({ point }));
    }
    this.write();
  }

  trouble(text) {
    byId("trouble").hidden = false;
    made("p", text, byId("trouble"));
  }

  bodies() {
    const holder = byId("bodies"), redraw = () => { this.plane(); this.space?.draw(); this.slices?.draw(); };
    const row = (name, colour, kind) => {
      const line = made("label", "", holder, "body"), box = made("input", "", line);
      Object.assign(box, { type: "checkbox", checked: true });
      made("i", "", line).style.background = `rgb(${colour.map((v) => Math.round(255 * v)).join(",")})`;
      made("span", name, line, "name");
      box.addEventListener("change", () => { for (const one of kind) one.shown = box.checked; redraw(); });
      return [line, box];
    };
    for (const body of this.scene.bodies) {
      const [line, box] = row(body.name, body.colour, [body]), slider = made("input", "", line);
      box.checked = body.shown;
      Object.assign(slider, { type: "range", min: 0.05, max: 1, step: 0.05, value: body.opacity, title: "opacity" });
      slider.addEventListener("input", () => { body.opacity = Number(slider.value); redraw(); });
    }
    for (const name of new Set([...this.scene.lines, ...this.scene.words].map((one) => one.group))) {
      const members = [...this.scene.lines, ...this.scene.words].filter((one) => one.group === name);
      row(name, members[0].colour, members);
    }
  }

  clicked(hit) {
    if (hit) this.add({ point: hit.point, normal: hit.normal, approach: meanNormal(hit.body, hit.point, hit.normal, AROUND_MM), on: hit.body.name });
  }

  add(entry) {
    this.points.push(entry);
    if (entry.normal && this.slices) this.slices.move(entry.point);
    this.write();
  }

  threePoints() {
    if (this.points.length < 3) return null;
    const [a, b, c] = this.points.slice(-3).map((one) => one.point), n = cross(sub(b, a), sub(c, a));
    if (norm(n) < 1e-6 * (norm(sub(b, a)) * norm(sub(c, a)) || 1)) return null;
    return { origin: scale(1 / 3, add(add(a, b), c)), normal: scale(this.flipped ? -1 : 1, unit(n)) };
  }

  plane() {
    this.space?.showPlane(this.threePoints());
  }

  write() {
    const list = byId("points"), paste = byId("paste"), last = this.points[this.points.length - 1];
    list.replaceChildren();
    paste.replaceChildren();
    this.points.forEach((one, n) => {
      const item = made("li", `${triple(one.point, 2)}${one.on ? ` on ${one.on}` : ""} `, list);
      made("button", "remove", item).addEventListener("click", () => { this.points.splice(n, 1); this.write(); });
    });
    if (!last) made("p", "Click a point; click three for a plane.", paste);
    if (last?.normal) {
      this.snippet("the last point; the comment is the bone's outward normal there, no cutting plane: click three points for one", `origin = ${triple(last.point, 2)}\n# outward normal ${triple(last.normal, 5)}`, paste);
      this.snippet(`the way out of the bone, mean over ${AROUND_MM} mm around it`, `approach = ${triple(last.approach, 3)}`, paste);
    }
    if (last) this.snippet("the last point as 3D Slicer reads it (RAS)", triple([-last.point[0], -last.point[1], last.point[2]], 2).slice(1, -1), paste);
    if (last && !last.normal) {
      this.snippet("a seed in a case file", `seed = ${triple(last.point, 1)}`, paste);
      this.snippet("a seed for psi-cad segment", `--bone NAME=${last.point.map((v) => number(v, 1)).join(",")}`, paste);
    }
    const plane = this.threePoints();
    byId("flip").hidden = !plane;
    if (plane) this.snippet("the plane through the last three points; its normal has to look towards the specimen",
      `[[cut]]\nname = "A"\norigin = ${triple(plane.origin, 2)}\nnormal = ${triple(plane.normal, 5)}`, paste);
    const two = this.points.slice(-2);
    byId("distance").textContent = two.length < 2 ? "" : `the last two are ${number(norm(sub(two[1].point, two[0].point)), 2)} mm apart`;
    if (this.space) this.space.marks = this.points;
    this.plane();
  }

  snippet(what, text, holder) {
    const block = made("div", "", holder, "snippet"), head = made("p", what, block), button = made("button", "copy", head);
    made("pre", text, block);
    button.addEventListener("click", () => {
      const said = (word) => { button.textContent = word; setTimeout(() => { button.textContent = "copy"; }, 1200); };
      const area = made("textarea", "", block); // works from file:// too, where the clipboard may be closed
      area.value = text;
      area.select();
      said(document.execCommand("copy") ? "copied" : "select it by hand");
      area.remove();
    });
  }

  cursor(slices) {
    const box = byId("cursor"), at = slices.cursor;
    box.replaceChildren();
    made("div", `LPS ${triple(at, 1)} mm`, box);
    made("div", `RAS ${triple([-at[0], -at[1], at[2]], 1)} mm (3D Slicer's cursor)`, box);
    made("div", slices.value(at), box);
  }

  // "#view=A&pick=x,y;x,y&at=x,y,z": a view, picks (pixels of the picture) and a cursor to start with; what came of them, exactly, for a program
  start(hash) {
    const asked = new URLSearchParams(hash.slice(1)), numbers = (text) => text.split(",").map(Number);
    if (asked.has("view") && this.space) this.space.look(asked.get("view"));
    if (asked.has("turn") && this.space) this.space.turn(...numbers(asked.get("turn")));
    for (const at of (asked.get("pick") || "").split(";").filter(Boolean)) this.clicked(this.space?.hit(...numbers(at)));
    if (asked.has("at") && this.slices) { this.slices.move(numbers(asked.get("at"))); this.add({ point: this.slices.cursor.slice() }); }
    if (![...asked.keys()].length) return;
    const { space, slices } = this;
    const state = made("script", "", document.body);
    state.type = "application/json";
    state.id = "state";
    state.textContent = JSON.stringify({
      points: this.points, plane: this.threePoints(),
      camera: space && { right: space.right, up: space.up, eye: space.eye, focus: space.focus, mm: space.mm(), size: space.size() },
      slices: slices && { cursor: slices.cursor, value: slices.sampled(...slices.index(slices.cursor)), said: slices.value(slices.cursor), shown: slices.shown() },
    }).replaceAll("<", "\\u003c");
  }
}

const page = new Page(JSON.parse(byId("data").textContent));
page.open().then(() => page.start(location.hash));
