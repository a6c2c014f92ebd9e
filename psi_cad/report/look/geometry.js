"use strict";
// Vectors, triangles and planes; all in the patient frame (LPS, mm). Nothing here draws.

const add = (a, b) => [a[0] + b[0], a[1] + b[1], a[2] + b[2]];
const sub = (a, b) => [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
const scale = (s, a) => [s * a[0], s * a[1], s * a[2]];
const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
const norm = (a) => Math.hypot(a[0], a[1], a[2]);
const unit = (a) => scale(1 / norm(a), a);
const number = (v, digits) => (v.toFixed(digits).replace(/^-(0(\.0*)?)$/, "$1"));
const triple = (a, digits) => "[" + a.map((v) => number(v, digits)).join(", ") + "]";

const LETTERS = [["R", "L"], ["A", "P"], ["I", "S"]]; // at −1 and +1 of x, y, z

// The end of the patient to which a direction points: "A", or "LA" between two, the nearer first.
function letters(direction) {
  const way = unit(direction);
  const order = [0, 1, 2].sort((a, b) => Math.abs(way[b]) - Math.abs(way[a]));
  return order.slice(0, 2).filter((axis, n) => n === 0 || Math.abs(way[axis]) > 0.35)
    .map((axis) => LETTERS[axis][way[axis] > 0 ? 1 : 0]).join("");
}

function bytes(text) {
  const raw = atob(text), found = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) found[i] = raw.charCodeAt(i);
  return found;
}

async function unzipped(text) {
  const stream = new Blob([bytes(text)]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// Where the ray from `start` along `way` first meets a body: {point, normal, face, distance}, or null. Every triangle is tried.
function rayHit(body, start, way) {
  const p = body.positions, f = body.faces, c = body.centre;
  const o = sub(start, c);
  let best = Infinity, face = -1;
  for (let i = 0; i < f.length; i += 3) {
    const a = 3 * f[i], b = 3 * f[i + 1], d = 3 * f[i + 2];
    const e1x = p[b] - p[a], e1y = p[b + 1] - p[a + 1], e1z = p[b + 2] - p[a + 2];
    const e2x = p[d] - p[a], e2y = p[d + 1] - p[a + 1], e2z = p[d + 2] - p[a + 2];
    const hx = way[1] * e2z - way[2] * e2y, hy = way[2] * e2x - way[0] * e2z, hz = way[0] * e2y - way[1] * e2x;
    const det = e1x * hx + e1y * hy + e1z * hz;
    if (det === 0) continue;
    const sx = o[0] - p[a], sy = o[1] - p[a + 1], sz = o[2] - p[a + 2];
    const u = (sx * hx + sy * hy + sz * hz) / det;
    if (u < 0 || u > 1) continue;
    const qx = sy * e1z - sz * e1y, qy = sz * e1x - sx * e1z, qz = sx * e1y - sy * e1x;
    const v = (way[0] * qx + way[1] * qy + way[2] * qz) / det;
    if (v < 0 || u + v > 1) continue;
    const t = (e2x * qx + e2y * qy + e2z * qz) / det;
    if (t > 0 && t < best) { best = t; face = i; }
  }
  if (face < 0) return null;
  return { point: add(start, scale(best, way)), normal: unit(faceNormal(body, face)), face, distance: best };
}

// Twice the area of a triangle, along its outward normal.
function faceNormal(body, i) {
  const [a, b, c] = [0, 1, 2].map((k) => corner(body, body.faces[i + k]));
  return cross(sub(b, a), sub(c, a));
}

function corner(body, index) {
  const p = body.positions, c = body.centre;
  return [p[3 * index] + c[0], p[3 * index + 1] + c[1], p[3 * index + 2] + c[2]];
}

// The mean outward normal of the triangles whose middles lie within `radius` of a point and that look to the same side as `normal`.
function meanNormal(body, point, normal, radius) {
  let sum = [0, 0, 0];
  const p = body.positions, f = body.faces, o = sub(point, body.centre);
  for (let i = 0; i < f.length; i += 3) {
    const a = 3 * f[i], b = 3 * f[i + 1], c = 3 * f[i + 2];
    const x = (p[a] + p[b] + p[c]) / 3 - o[0], y = (p[a + 1] + p[b + 1] + p[c + 1]) / 3 - o[1], z = (p[a + 2] + p[b + 2] + p[c + 2]) / 3 - o[2];
    if (x * x + y * y + z * z > radius * radius) continue;
    const n = faceNormal(body, i);
    if (dot(n, normal) > 0) sum = add(sum, n);
  }
  return norm(sum) > 0 ? unit(sum) : normal;
}

// The line in which a plane meets a body: pairs of points, flat [x, y, z, …] from the body's centre.
function section(body, origin, normal) {
  const p = body.positions, f = body.faces, found = [];
  const level = dot(sub(origin, body.centre), normal);
  const height = new Float64Array(p.length / 3);
  for (let i = 0; i < height.length; i++) height[i] = p[3 * i] * normal[0] + p[3 * i + 1] * normal[1] + p[3 * i + 2] * normal[2] - level;
  for (let i = 0; i < f.length; i += 3) {
    for (let k = 0; k < 3; k++) {
      const a = f[i + k], b = f[i + (k + 1) % 3];
      if ((height[a] >= 0) === (height[b] >= 0)) continue;
      const t = height[a] / (height[a] - height[b]);
      for (let x = 0; x < 3; x++) found.push(p[3 * a + x] + t * (p[3 * b + x] - p[3 * a + x]));
    }
  }
  return new Float32Array(found);
}
