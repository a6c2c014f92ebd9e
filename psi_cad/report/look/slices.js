// A scan in three planes of the patient frame through one cursor; voxels are found by patient position, whatever way they were scanned.

const PLANES = [ // the axis across the plane, then the patient directions to the right and downwards
  { name: "axial, from the feet", axis: 2, right: [1, 0, 0], down: [0, 1, 0] },
  { name: "coronal, from the front", axis: 1, right: [1, 0, 0], down: [0, 0, -1] },
  { name: "sagittal, from the left", axis: 0, right: [0, 1, 0], down: [0, 0, -1] },
];
const MOST_PIXELS = 560;

class Slices {
  constructor(scene, values, holder, bar, told) {
    Object.assign(this, { scene, values, volume: scene.volume, told });
    const volume = scene.volume;
    this.cursor = volume.middle.slice();
    this.level = volume.level;
    this.width = volume.width;
    this.grey = new Uint8Array(256);
    this.windowed();
    this.planes = PLANES.map((plane) => this.made(plane, holder));
    for (const [name, key, low, high] of [["level", "level", volume.low, volume.high], ["window", "width", 1, volume.high - volume.low]]) {
      const label = document.createElement("label"), slider = document.createElement("input"), said = document.createElement("span");
      Object.assign(slider, { type: "range", min: low, max: high, step: 1, value: this[key] });
      said.textContent = ` ${this[key]} ${volume.unit}`;
      slider.addEventListener("input", () => {
        this[key] = Number(slider.value);
        said.textContent = ` ${slider.value} ${volume.unit}`;
        this.windowed();
        this.draw();
      });
      label.append(`${name} `, slider, said);
      bar.append(label);
    }
    this.scene.moved(this);
    this.draw();
  }

  windowed() {
    const { low, high } = this.volume;
    for (let v = 0; v < 256; v++) {
      const hu = low + ((high - low) * v) / 255;
      this.grey[v] = Math.max(0, Math.min(255, (255 * (hu - this.level + this.width / 2)) / this.width));
    }
  }

  made(plane, holder) {
    const [low, high] = this.volume.bounds, { axis } = plane;
    const across = plane.right.findIndex((v) => v !== 0), down = plane.down.findIndex((v) => v !== 0);
    const step = Math.max(high[across] - low[across], high[down] - low[down]) / MOST_PIXELS;
    const canvas = document.createElement("canvas"), figure = document.createElement("figure"), caption = document.createElement("figcaption");
    const slider = document.createElement("input");
    canvas.width = Math.max(2, Math.round((high[across] - low[across]) / step));
    canvas.height = Math.max(2, Math.round((high[down] - low[down]) / step));
    canvas.tabIndex = 0;
    canvas.setAttribute("aria-label", plane.name);
    Object.assign(slider, { type: "range", min: low[axis], max: high[axis], step: 0.1 });
    slider.setAttribute("aria-label", `slice, ${plane.name}`);
    figure.append(caption, canvas, slider);
    holder.append(figure);
    const corner = low.slice(); // of the picture's upper left pixel
    corner[down] = plane.down[down] > 0 ? low[down] + step / 2 : high[down] - step / 2;
    corner[across] = low[across] + step / 2;
    const found = { ...plane, across, downAxis: down, canvas, caption, slider, step, corner };
    slider.addEventListener("input", () => this.go(axis, Number(slider.value)));
    canvas.addEventListener("wheel", (event) => { event.preventDefault(); this.go(axis, this.cursor[axis] - Math.sign(event.deltaY) * this.volume.step); }, { passive: false });
    const place = (event) => {
      const box = canvas.getBoundingClientRect();
      return this.place(found, ((event.clientX - box.left) / box.width) * canvas.width, ((event.clientY - box.top) / box.height) * canvas.height);
    };
    canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); canvas.focus({ preventScroll: true }); });
    canvas.addEventListener("pointermove", (event) => { if (event.buttons) this.move(place(event)); });
    canvas.addEventListener("pointerup", (event) => { this.move(place(event)); this.told(this.cursor.slice()); });
    canvas.addEventListener("keydown", (event) => {
      const way = { ArrowLeft: scale(-1, plane.right), ArrowRight: plane.right, ArrowUp: scale(-1, plane.down), ArrowDown: plane.down }[event.key];
      const through = { PageUp: 1, PageDown: -1 }[event.key];
      if (way) this.move(add(this.cursor, scale(this.volume.step, way)));
      else if (through) this.go(axis, this.cursor[axis] + through * this.volume.step);
      else if (event.key === "Enter") this.told(this.cursor.slice());
      else return;
      event.preventDefault();
    });
    return found;
  }

  // the patient point of a pixel (its middle is at +0.5) of a plane
  place(plane, x, y) {
    const point = this.cursor.slice();
    point[plane.across] = plane.corner[plane.across] + (x - 0.5) * plane.step * plane.right[plane.across];
    point[plane.downAxis] = plane.corner[plane.downAxis] + (y - 0.5) * plane.step * plane.down[plane.downAxis];
    return point;
  }

  pixel(plane, point) {
    return [
      (point[plane.across] - plane.corner[plane.across]) / plane.step / plane.right[plane.across] + 0.5,
      (point[plane.downAxis] - plane.corner[plane.downAxis]) / plane.step / plane.down[plane.downAxis] + 0.5,
    ];
  }

  // width and height of the window, and of each picture on the page beside its own, in pixels
  shown() {
    const box = (canvas) => canvas.getBoundingClientRect();
    return { window: [innerWidth, innerHeight], planes: this.planes.map(({ canvas }) => [box(canvas).width, box(canvas).height, canvas.width, canvas.height]) };
  }

  go(axis, value) {
    const point = this.cursor.slice();
    point[axis] = value;
    this.move(point);
  }

  move(point) {
    const [low, high] = this.volume.bounds;
    this.cursor = point.map((v, k) => Math.min(Math.max(v, low[k]), high[k]));
    this.scene.moved(this);
    this.draw();
  }

  index(point) {
    const m = this.volume.index_from_patient;
    return [0, 1, 2].map((r) => m[4 * r] * point[0] + m[4 * r + 1] * point[1] + m[4 * r + 2] * point[2] + m[4 * r + 3]);
  }

  // the stored value (0 to 255) at an index, linear between voxels; -1 outside
  sampled(i, j, k) {
    const [nx, ny, nz] = this.volume.size, v = this.values;
    if (i < -0.5 || j < -0.5 || k < -0.5 || i > nx - 0.5 || j > ny - 0.5 || k > nz - 0.5) return -1;
    i = Math.min(Math.max(i, 0), nx - 1); j = Math.min(Math.max(j, 0), ny - 1); k = Math.min(Math.max(k, 0), nz - 1);
    const a = Math.min(i | 0, Math.max(nx - 2, 0)), b = Math.min(j | 0, Math.max(ny - 2, 0)), c = Math.min(k | 0, Math.max(nz - 2, 0));
    const x = i - a, y = j - b, z = k - c, dx = nx > 1 ? 1 : 0, dy = ny > 1 ? nx : 0, dz = nz > 1 ? nx * ny : 0;
    const o = a + nx * (b + ny * c);
    const low = (v[o] * (1 - x) + v[o + dx] * x) * (1 - y) + (v[o + dy] * (1 - x) + v[o + dx + dy] * x) * y;
    const high = (v[o + dz] * (1 - x) + v[o + dx + dz] * x) * (1 - y) + (v[o + dy + dz] * (1 - x) + v[o + dx + dy + dz] * x) * y;
    return low * (1 - z) + high * z;
  }

  // what a place is worth, as words
  value(point) {
    const { low, high, unit } = this.volume, found = this.sampled(...this.index(point));
    if (found < 0) return "outside";
    if (found <= 0 || found >= 255) return `${found <= 0 ? "≤" : "≥"} ${found <= 0 ? low : high} ${unit}`;
    return `${Math.round(low + ((high - low) * found) / 255)} ${unit} (± ${Math.ceil((high - low) / 510)})`;
  }

  draw() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      for (const plane of this.planes) this.drawPlane(plane);
    });
  }

  drawPlane(plane) {
    const { canvas } = plane, pen = canvas.getContext("2d"), image = pen.createImageData(canvas.width, canvas.height);
    const start = this.index(this.place(plane, 0.5, 0.5)), m = this.volume.index_from_patient;
    const along = (way, n) => [0, 1, 2].map((r) => (m[4 * r] * way[0] + m[4 * r + 1] * way[1] + m[4 * r + 2] * way[2]) * plane.step * n);
    const right = along(plane.right, 1), down = along(plane.down, 1);
    let at = 0;
    for (let y = 0; y < canvas.height; y++) {
      for (let x = 0; x < canvas.width; x++) {
        const v = this.sampled(start[0] + x * right[0] + y * down[0], start[1] + x * right[1] + y * down[1], start[2] + x * right[2] + y * down[2]);
        const grey = v < 0 ? 20 : this.grey[Math.round(v)];
        image.data[at++] = grey; image.data[at++] = grey; image.data[at++] = grey; image.data[at++] = 255;
      }
    }
    pen.putImageData(image, 0, 0);
    this.outlines(plane, pen);
    const [x, y] = this.pixel(plane, this.cursor);
    pen.strokeStyle = "#ffd200";
    pen.lineWidth = 1;
    pen.beginPath();
    for (const [a, b, c, d] of [[0, y, x - 6, y], [x + 6, y, canvas.width, y], [x, 0, x, y - 6], [x, y + 6, x, canvas.height]]) { pen.moveTo(a, b); pen.lineTo(c, d); }
    pen.stroke();
    writeLetters(pen, canvas.width, canvas.height, plane.right, scale(-1, plane.down), null, "#ffffff");
    writeScale(pen, canvas.width, canvas.height, plane.step, "#ffffff");
    plane.slider.value = this.cursor[plane.axis];
    plane.caption.textContent = `${plane.name}; ${"xyz"[plane.axis]} = ${number(this.cursor[plane.axis], 1)} mm`;
  }

  // where the bodies meet the plane
  outlines(plane, pen) {
    const normal = [0, 0, 0];
    normal[plane.axis] = 1;
    for (const body of this.scene.bodies) {
      if (!body.shown) continue;
      const flat = section(body, this.cursor, normal);
      pen.strokeStyle = `rgb(${body.colour.map((v) => Math.round(255 * v)).join(",")})`;
      pen.lineWidth = 1.5;
      pen.beginPath();
      for (let i = 0; i < flat.length; i += 6) {
        pen.moveTo(...this.pixel(plane, add([flat[i], flat[i + 1], flat[i + 2]], body.centre)));
        pen.lineTo(...this.pixel(plane, add([flat[i + 3], flat[i + 4], flat[i + 5]], body.centre)));
      }
      pen.stroke();
    }
  }
}
