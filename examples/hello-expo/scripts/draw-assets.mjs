// Draws the app's images into assets/. Needs nothing but Node: shapes are distance fields, PNGs are written here.
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { crc32, deflateSync } from 'node:zlib';

const assets = join(dirname(fileURLToPath(import.meta.url)), '..', 'assets');

const slate = [0x0a, 0x0a, 0x0c];
const panel = [0x16, 0x17, 0x1a];
const divider = [0x27, 0x29, 0x2d];
const yellow = [0xf2, 0xc9, 0x4c];
const gold = [0xf2, 0xb0, 0x1c];
const green = [0x27, 0xae, 0x60];
const light = [0xec, 0xef, 0xf2];
const white = [255, 255, 255]; // what the app tints

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const mix = (a, b, share) => a.map((channel, index) => channel + (b[index] - channel) * share);

/** Signed distance from (x, y) to a hexagon with a corner on top; negative inside. `r` is the inner radius. */
function hexagon(x, y, r) {
  const ax = Math.abs(x);
  const ay = Math.abs(y);
  return Math.max(ax, ax * 0.5 + ay * (Math.sqrt(3) / 2)) - r;
}

/** How much of a pixel a shape covers, from the distance of the pixel's middle to the shape's edge. */
const coverage = (distance, pixel) => clamp(0.5 - distance / pixel, 0, 1);

/** The mark: six golden cells around a light one. Colour and alpha at (x, y), the mark being 2 wide. */
function mark(x, y, pixel) {
  const pitch = 0.6;
  let alpha = 0;
  let colour = yellow;
  for (let cell = 0; cell < 7; cell += 1) {
    const angle = (cell * Math.PI) / 3;
    const reach = cell === 6 ? 0 : pitch;
    const distance = hexagon(x - Math.cos(angle) * reach, y - Math.sin(angle) * reach, pitch / 2 - 0.035) - 0.01;
    const covered = coverage(distance, pixel);
    if (covered > alpha) {
      alpha = covered;
      colour = cell === 6 ? light : mix(yellow, gold, (y + 1) / 2);
    }
  }
  return { colour, alpha };
}

function icon(scale, background) {
  return (u, v, pixel) => {
    const { colour, alpha } = mark((u - 0.5) / scale, (v - 0.5) / scale, pixel / scale);
    return background ? [...mix(background, colour, alpha), 255] : [...colour, alpha * 255];
  };
}

const cell = (u, v, pixel) => [...white, coverage(hexagon(u - 0.5, v - 0.5, 0.4), pixel) * 255];

/** A dusk meadow, twice as wide as high, with honeycomb for a sky. */
function meadow(u, v, pixel) {
  const x = u * 2;
  let colour = mix(slate, mix(divider, gold, 0.25), v * v);
  const row = Math.round(v / 0.13);
  const shift = row % 2 === 0 ? 0 : 0.075;
  const column = Math.round((x - shift) / 0.15);
  const comb = hexagon(x - shift - column * 0.15, v - row * 0.13, 0.066);
  const glow = clamp(1.15 - Math.hypot(x - 1.5, v - 0.45) * 1.3, 0, 1);
  colour = mix(colour, mix(panel, yellow, glow * glow), coverage(comb, pixel) * 0.85);
  const hills = [
    [0.72 + 0.06 * Math.sin(x * 2.3 + 0.4), mix(slate, green, 0.42)],
    [0.82 + 0.05 * Math.sin(x * 3.1 + 2.2), mix(slate, green, 0.26)],
    [0.93 + 0.03 * Math.sin(x * 4.7 + 1.1), mix(slate, green, 0.12)],
  ];
  for (const [height, tone] of hills) {
    colour = mix(colour, tone, coverage(height - v, pixel));
  }
  return [...colour, 255];
}

function chunk(name, data) {
  const body = Buffer.concat([Buffer.from(name, 'latin1'), data]);
  const framed = Buffer.alloc(body.length + 8);
  framed.writeUInt32BE(data.length, 0);
  body.copy(framed, 4);
  framed.writeUInt32BE(crc32(body), body.length + 4);
  return framed;
}

/** Writes `paint(u, v, pixel)` as a PNG of 8-bit RGBA; u and v run from 0 to 1, `pixel` is one pixel's height in v. */
function draw(file, width, height, paint) {
  const rows = Buffer.alloc((width * 4 + 1) * height);
  for (let y = 0; y < height; y += 1) {
    let at = y * (width * 4 + 1) + 1;
    for (let x = 0; x < width; x += 1) {
      for (const channel of paint((x + 0.5) / width, (y + 0.5) / height, 1 / height)) {
        rows[at] = Math.round(clamp(channel, 0, 255));
        at += 1;
      }
    }
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 6, 0, 0, 0], 8);
  writeFileSync(
    join(assets, file),
    Buffer.concat([
      Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
      chunk('IHDR', header),
      chunk('IDAT', deflateSync(rows, { level: 9 })),
      chunk('IEND', Buffer.alloc(0)),
    ]),
  );
}

draw('icon.png', 1024, 1024, icon(0.38, slate));
draw('adaptive-icon.png', 1024, 1024, icon(0.28, null));
draw('favicon.png', 48, 48, icon(0.5, null));
draw('cell.png', 40, 40, cell);
draw('cell@2x.png', 80, 80, cell);
draw('cell@3x.png', 120, 120, cell);
draw('meadow.png', 640, 320, meadow);
draw('meadow@2x.png', 1280, 640, meadow);
