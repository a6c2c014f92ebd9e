// The bodies in space: a parallel view drawn with WebGL, and letters, scale, names and points over it.

const SUPERIOR = [0, 0, 1], ANTERIOR = [0, -1, 0];
const STANDARD = { A: [0, -1, 0], P: [0, 1, 0], L: [1, 0, 0], R: [-1, 0, 0], S: [0, 0, 1], I: [0, 0, -1] };
const VERTEX = `#version 300 es
in vec3 place; in vec3 normal; uniform mat3 view; uniform vec3 shift; uniform vec2 half_size; uniform float depth; out vec3 n;
void main() { vec3 seen = view * (place + shift); n = view * normal; gl_Position = vec4(seen.xy / half_size, -seen.z / depth, 1.0); }`;
const FRAGMENT = `#version 300 es
precision highp float; in vec3 n; uniform vec4 colour; uniform float lit; out vec4 shade;
void main() { float face = abs(normalize(n).z); shade = vec4(colour.rgb * mix(1.0, 0.3 + 0.7 * face, lit), colour.a); }`;

class Space {
  constructor(scene, canvas, over, told) {
    Object.assign(this, { scene, canvas, over, told, lines: scene.lines, marks: [] });
    this.gl = canvas.getContext("webgl2", { alpha: false, antialias: true, preserveDrawingBuffer: true });
    if (!this.gl) throw new Error("no WebGL");
    this.program = this.compiled();
    for (const body of scene.bodies) this.loaded(body);
    for (const line of scene.lines) line.buffer = this.buffered(this.gl.ARRAY_BUFFER, line.positions);
    this.plane = null;
    this.look("A");
    this.fit();
    this.listen();
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  compiled() {
    const gl = this.gl, program = gl.createProgram();
    for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.bindAttribLocation(program, 0, "place");
    gl.bindAttribLocation(program, 1, "normal");
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program));
    gl.useProgram(program);
    this.uniforms = {};
    for (const name of ["view", "shift", "half_size", "depth", "colour", "lit"]) this.uniforms[name] = gl.getUniformLocation(program, name);
    return program;
  }

  buffered(target, data) {
    const gl = this.gl, buffer = gl.createBuffer();
    gl.bindBuffer(target, buffer);
    gl.bufferData(target, data, gl.STATIC_DRAW);
    return buffer;
  }

  loaded(body) {
    // every triangle with corners of its own, each with the mean normal of what meets there at less than a sharp edge
    const count = body.faces.length, places = new Float32Array(3 * count), normals = new Float32Array(3 * count);
    const around = new Map(), own = new Float64Array(count);
    for (let i = 0; i < count; i += 3) own.set(faceNormal(body, i), i);
    for (let i = 0; i < count; i++) {
      const v = body.faces[i];
      if (!around.has(v)) around.set(v, []);
      around.get(v).push(i - (i % 3));
    }
    for (let i = 0; i < count; i++) {
      const v = body.faces[i], f = i - (i % 3), n = [own[f], own[f + 1], own[f + 2]], l = Math.hypot(...n);
      let x = 0, y = 0, z = 0;
      for (const g of around.get(v)) {
        const turn = own[g] * n[0] + own[g + 1] * n[1] + own[g + 2] * n[2];
        if (turn >= 0.85 * l * Math.hypot(own[g], own[g + 1], own[g + 2])) { x += own[g]; y += own[g + 1]; z += own[g + 2]; }
      }
      const m = Math.hypot(x, y, z) || 1;
      places.set(body.positions.subarray(3 * v, 3 * v + 3), 3 * i);
      normals.set([x / m, y / m, z / m], 3 * i);
    }
    body.count = count;
    body.placeBuffer = this.buffered(this.gl.ARRAY_BUFFER, places);
    body.normalBuffer = this.buffered(this.gl.ARRAY_BUFFER, normals);
  }

  // the eye at one end of the patient, superior up (anterior up from above and below)
  look(letter) {
    this.eye = STANDARD[letter];
    this.up = letter === "S" || letter === "I" ? ANTERIOR : SUPERIOR;
    this.right = cross(this.up, this.eye);
    this.draw();
  }

  fit() {
    this.focus = this.scene.centre.slice();
    this.half = 0.85 * this.scene.radius;
    this.draw();
  }

  turn(across, upwards) {
    const spun = (a, axis, angle) => add(add(scale(Math.cos(angle), a), scale(Math.sin(angle), cross(axis, a))), scale((1 - Math.cos(angle)) * dot(axis, a), axis));
    this.eye = unit(spun(spun(this.eye, this.up, -across), this.right, -upwards));
    this.up = spun(this.up, this.right, -upwards);
    this.right = unit(cross(this.up, this.eye));
    this.up = cross(this.eye, this.right);
    this.draw();
  }

  size() { return [this.canvas.clientWidth, this.canvas.clientHeight]; }
  // millimetres to one pixel: `half` is from the middle to the nearer edges
  mm() { return (2 * this.half) / Math.min(...this.size()); }

  move(dx, dy) {
    this.focus = add(this.focus, add(scale(-dx * this.mm(), this.right), scale(dy * this.mm(), this.up)));
    this.draw();
  }

  zoom(factor) {
    this.half = Math.min(Math.max(this.half * factor, 1), 20 * this.scene.radius);
    this.draw();
  }

  project(point) {
    const [w, h] = this.size(), seen = sub(point, this.focus);
    return [w / 2 + dot(seen, this.right) / this.mm(), h / 2 - dot(seen, this.up) / this.mm()];
  }

  // what lies under a pixel: the nearest point of a shown body
  hit(x, y) {
    const [w, h] = this.size();
    const start = add(add(this.focus, scale((x - w / 2) * this.mm(), this.right)), add(scale((h / 2 - y) * this.mm(), this.up), scale(4 * this.scene.radius, this.eye)));
    let best = null;
    for (const body of this.scene.bodies) {
      if (!body.shown || !body.pick) continue;
      const hit = rayHit(body, start, scale(-1, this.eye));
      if (hit && (!best || hit.distance < best.distance)) best = { ...hit, body };
    }
    return best;
  }

  draw() {
    if (!this.focus || this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => { this.waiting = false; this.drawn(); });
  }

  drawn() {
    const gl = this.gl, [w, h] = this.size(), ratio = window.devicePixelRatio || 1;
    if (!w || !h) return;
    for (const canvas of [this.canvas, this.over]) { canvas.width = Math.round(w * ratio); canvas.height = Math.round(h * ratio); }
    gl.viewport(0, 0, this.canvas.width, this.canvas.height);
    gl.clearColor(1, 1, 1, 1);
    gl.enable(gl.DEPTH_TEST);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.uniformMatrix3fv(this.uniforms.view, false, [0, 1, 2].flatMap((k) => [this.right[k], this.up[k], this.eye[k]]));
    gl.uniform2f(this.uniforms.half_size, (w / 2) * this.mm(), (h / 2) * this.mm());
    gl.uniform1f(this.uniforms.depth, 4 * this.scene.radius);
    gl.blendFunc(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA);
    const shown = this.scene.bodies.filter((body) => body.shown && body.opacity > 0);
    for (const body of shown.filter((b) => b.opacity >= 1)) this.paint(body);
    for (const line of this.lines) if (line.shown) this.stroke(line);
    if (this.plane) this.stroke(this.plane);
    gl.enable(gl.BLEND);
    for (const body of shown.filter((b) => b.opacity < 1)) {
      gl.colorMask(false, false, false, false); // its nearest wall alone: first its depth, then its colour
      this.paint(body);
      gl.colorMask(true, true, true, true);
      gl.depthFunc(gl.LEQUAL);
      gl.depthMask(false);
      this.paint(body);
      gl.depthMask(true);
      gl.depthFunc(gl.LESS);
    }
    gl.disable(gl.BLEND);
    this.written(w, h, ratio);
  }

  paint(body) {
    const gl = this.gl;
    gl.uniform3f(this.uniforms.shift, ...sub(body.centre, this.focus));
    gl.uniform4f(this.uniforms.colour, ...body.colour, body.opacity);
    gl.uniform1f(this.uniforms.lit, 1);
    gl.enableVertexAttribArray(0);
    gl.enableVertexAttribArray(1);
    gl.bindBuffer(gl.ARRAY_BUFFER, body.placeBuffer);
    gl.vertexAttribPointer(0, 3, gl.FLOAT, false, 0, 0);
    gl.bindBuffer(gl.ARRAY_BUFFER, body.normalBuffer);
    gl.vertexAttribPointer(1, 3, gl.FLOAT, false, 0, 0);
    gl.drawArrays(gl.TRIANGLES, 0, body.count);
  }

  stroke(line) {
    const gl = this.gl;
    gl.uniform3f(this.uniforms.shift, ...add(sub(line.centre, this.focus), scale(0.3, this.eye))); // a hair before the bone it lies on
    gl.uniform4f(this.uniforms.colour, ...line.colour, 1);
    gl.uniform1f(this.uniforms.lit, 0);
    gl.disableVertexAttribArray(1);
    gl.vertexAttrib3f(1, 0, 0, 1);
    gl.bindBuffer(gl.ARRAY_BUFFER, line.buffer);
    gl.vertexAttribPointer(0, 3, gl.FLOAT, false, 0, 0);
    gl.drawArrays(gl.LINES, 0, line.positions.length / 3);
  }

  // the line in which a plane meets the shown bodies
  showPlane(plane) {
    this.plane = null;
    if (plane) {
      const places = this.scene.bodies.filter((body) => body.shown && body.pick).flatMap((body) => {
        const found = section(body, plane.origin, plane.normal), moved = sub(body.centre, this.scene.centre);
        return Array.from(found, (v, i) => v + moved[i % 3]);
      });
      const end = sub(add(plane.origin, scale(0.2 * this.scene.radius, plane.normal)), this.scene.centre);
      places.push(...sub(plane.origin, this.scene.centre), ...end);
      const positions = new Float32Array(places);
      this.plane = { positions, centre: this.scene.centre, colour: [0.8, 0, 0.24], buffer: this.buffered(this.gl.ARRAY_BUFFER, positions) };
    }
    this.draw();
  }

  written(w, h, ratio) {
    const pen = this.over.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, w, h);
    writeLetters(pen, w, h, this.right, this.up, this.eye, "#191919");
    writeScale(pen, w, h, this.mm(), "#191919");
    for (const word of this.scene.words) if (word.shown) haloed(pen, word.text, ...this.project(word.place), 14, word.ink);
    this.marks.forEach((mark, n) => {
      const [x, y] = this.project(mark.point);
      ring(pen, x, y);
      haloed(pen, String(n + 1), x + 15, y - 13, 15, "#c8003c");
    });
  }

  listen() {
    const canvas = this.canvas, fingers = new Map();
    let moved = 0, spread = 0;
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      fingers.set(event.pointerId, [event.clientX, event.clientY]);
      moved = fingers.size > 1 ? 99 : 0;
      spread = 0;
      canvas.focus({ preventScroll: true });
    });
    canvas.addEventListener("pointermove", (event) => {
      const before = fingers.get(event.pointerId);
      if (!before) return;
      const dx = event.clientX - before[0], dy = event.clientY - before[1];
      fingers.set(event.pointerId, [event.clientX, event.clientY]);
      moved += Math.hypot(dx, dy);
      if (moved < 4) return;
      if (fingers.size === 2) {
        const [one, two] = [...fingers.values()], wide = Math.hypot(one[0] - two[0], one[1] - two[1]);
        if (spread) this.zoom(spread / wide);
        spread = wide;
        this.move(dx / 2, dy / 2);
      } else if (event.shiftKey || event.buttons === 2 || event.buttons === 4) this.move(dx, dy);
      else this.turn(dx * 0.008, dy * 0.008);
    });
    const up = (event) => {
      const still = fingers.delete(event.pointerId) && moved < 4 && event.type === "pointerup" && event.button === 0;
      spread = 0;
      if (still) this.told(this.hit(...this.at(event)));
    };
    canvas.addEventListener("pointerup", up);
    canvas.addEventListener("pointercancel", up);
    canvas.addEventListener("wheel", (event) => { event.preventDefault(); this.zoom(Math.exp(event.deltaY * 0.001)); }, { passive: false });
    canvas.addEventListener("keydown", (event) => this.key(event));
  }

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left - this.canvas.clientLeft, event.clientY - box.top - this.canvas.clientTop];
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const arrow = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key], [w, h] = this.size();
    if (arrow && event.shiftKey) this.move(20 * arrow[0], 20 * arrow[1]);
    else if (arrow) this.turn(arrow[0] * Math.PI / 36, arrow[1] * Math.PI / 36);
    else if (event.key === "+" || event.key === "=") this.zoom(0.9);
    else if (event.key === "-") this.zoom(1 / 0.9);
    else if (event.key === "Enter") this.told(this.hit(w / 2, h / 2));
    else if (event.key.toUpperCase() === "F") this.fit();
    else if (STANDARD[event.key.toUpperCase()]) this.look(event.key.toUpperCase());
    else return;
    event.preventDefault();
  }
}

function haloed(pen, text, x, y, size, ink) {
  pen.font = `600 ${size}px system-ui, sans-serif`;
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.lineWidth = 4;
  pen.lineJoin = "round";
  pen.strokeStyle = ink === "#ffffff" ? "#000000" : "#ffffff";
  pen.strokeText(text, x, y);
  pen.fillStyle = ink;
  pen.fillText(text, x, y);
}

function ring(pen, x, y) {
  for (const [width, ink] of [[6, "#ffffff"], [3, "#c8003c"]]) {
    pen.lineWidth = width;
    pen.strokeStyle = ink;
    pen.beginPath();
    pen.arc(x, y, 9, 0, 2 * Math.PI);
    pen.stroke();
  }
}

// letters at the edges, and the patient's axes in the corner: the ends that look at us dark, the others pale
function writeLetters(pen, w, h, right, up, eye, ink) {
  haloed(pen, letters(right), w - 18, h / 2, 18, ink);
  haloed(pen, letters(scale(-1, right)), 18, h / 2, 18, ink);
  haloed(pen, letters(up), w / 2, 16, 18, ink);
  haloed(pen, letters(scale(-1, up)), w / 2, h - 16, 18, ink);
  if (!eye) return;
  const ends = [0, 1, 2].flatMap((axis) => [-1, 1].map((sign) => ({ axis, sign, depth: sign * eye[axis] }))).sort((a, b) => a.depth - b.depth);
  for (const { axis, sign, depth } of ends) {
    const x = sign * right[axis], y = -sign * up[axis], shade = depth > -1e-9 ? ink : "#aaaaaa", cx = w - 56, cy = h - 56;
    pen.strokeStyle = shade;
    pen.lineWidth = 2;
    pen.beginPath();
    pen.moveTo(cx, cy);
    pen.lineTo(cx + 28 * x, cy + 28 * y);
    pen.stroke();
    haloed(pen, LETTERS[axis][sign > 0 ? 1 : 0], cx + 39 * x, cy + 39 * y, 13, shade);
  }
}

function writeScale(pen, w, h, mm, ink) {
  const length = [200, 100, 50, 20, 10, 5, 2, 1, 0.5].find((v) => v <= 0.3 * w * mm) || 0.5, run = length / mm;
  pen.fillStyle = ink === "#ffffff" ? "#000000" : "#ffffff";
  pen.fillRect(10, h - 17, run + 4, 9);
  pen.fillStyle = ink;
  pen.fillRect(12, h - 15, run, 5);
  haloed(pen, `${length} mm`, 12 + Math.max(run, 40) / 2, h - 28, 13, ink);
}
