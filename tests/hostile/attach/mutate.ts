/** One change of one field or entry, or a few that belong together. */
import type { Prng } from '../../differential/prng.ts';
import { type Layout, layoutOf, type Place } from './places.ts';

/** A changed copy of `image`, and what was changed. */
export function mutate(image: Buffer, prng: Prng): { bytes: Buffer; what: string } {
  const bytes = Buffer.from(image);
  const layout = layoutOf(image);
  const change = prng.pick(CHANGES);
  return { bytes, what: change(bytes, layout, prng) };
}

type Change = (bytes: Buffer, layout: Layout, prng: Prng) => string;

/** Every kind of place as likely as any other, however many of them there are. */
function pickPlace({ places }: Layout, prng: Prng, only?: RegExp): Place | undefined {
  const some = only === undefined ? places : places.filter(({ kind }) => only.test(kind));
  if (some.length === 0) return undefined;
  const kind = prng.pick([...new Set(some.map((place) => place.kind))]);
  return prng.pick(some.filter((place) => place.kind === kind));
}

function pickCluster({ clusters }: Layout, prng: Prng): { kind: string; cluster: number } {
  const kind = prng.pick([...new Set(clusters.map((one) => one.kind))]);
  return prng.pick(clusters.filter((one) => one.kind === kind));
}

const setField: Change = (bytes, layout, prng) => {
  const { kind, at, width } = pickPlace(layout, prng) as Place;
  if (at + width > bytes.byteLength) return 'nothing';
  const bits = BigInt(width * 8);
  const mask = (1n << bits) - 1n;
  const old = width === 8 ? bytes.readBigUInt64BE(at) : BigInt(bytes.readUIntBE(at, width));
  const value =
    prng.pick([
      () => 0n,
      () => 1n,
      () => mask,
      () => old + 1n,
      () => old - 1n,
      () => old ^ (1n << BigInt(prng.below(width * 8))),
      () => old ^ (1n << BigInt(prng.below(width * 8))),
      () => old ^ (1n << (bits - 1n - BigInt(prng.below(3)))),
      () => old + 512n,
      () => old * 2n,
      () => BigInt(layout.clusterSize * pickCluster(layout, prng).cluster),
      () => BigInt(Math.floor(bytes.byteLength / layout.clusterSize) * layout.clusterSize),
      () => BigInt(prng.below(1000)),
    ])() & mask;
  put(bytes, at, width, value);
  return `${kind} at ${at}: 0x${old.toString(16)} -> 0x${value.toString(16)}`;
};

/** An entry leads to a cluster that another structure uses; its refcount counts it, or not; with COPIED, or not. */
const share: Change = (bytes, layout, prng) => {
  const place = pickPlace(layout, prng, /entry$/);
  if (place === undefined || place.width !== 8) return 'nothing';
  const target = pickCluster(layout, prng);
  const copied = prng.chance(0.5) && / L[12] /.test(place.kind) ? 1n << 63n : 0n;
  put(bytes, place.at, 8, BigInt(target.cluster * layout.clusterSize) | copied);
  const more = prng.below(3);
  addRefcount(bytes, layout, target.cluster, more);
  return `${place.kind} at ${place.at} -> ${target.kind} in cluster ${target.cluster}, copied ${copied !== 0n}, refcount +${more}`;
};

const setRefcount: Change = (bytes, layout, prng) => {
  const target = pickCluster(layout, prng);
  const by = prng.pick([-1, 1, 2, 100]);
  addRefcount(bytes, layout, target.cluster, by);
  return `refcount of ${target.kind} in cluster ${target.cluster} by ${by}`;
};

const toggleCopied: Change = (bytes, layout, prng) => {
  const place = pickPlace(layout, prng, / L[12] entry$/) as Place;
  const bit = BigInt(prng.pick([63, 63, 62, 0]));
  put(bytes, place.at, 8, bytes.readBigUInt64BE(place.at) ^ (1n << bit));
  return `${place.kind} at ${place.at}: bit ${bit} toggled`;
};

/** Compressed data of a guest: at random, or over another cluster. */
const compress: Change = (bytes, layout, prng) => {
  const place = pickPlace(layout, prng, /active L2 entry$/);
  if (place === undefined) return 'nothing';
  const { kind, cluster } = pickCluster(layout, prng);
  const offsetBits = BigInt(62 - (Math.log2(layout.clusterSize) - 8));
  const offset = BigInt(cluster * layout.clusterSize + prng.below(layout.clusterSize));
  put(bytes, place.at, 8, (1n << 62n) | (BigInt(prng.below(3)) << offsetBits) | offset);
  addRefcount(bytes, layout, cluster, prng.below(2));
  return `compressed entry at ${place.at} over ${kind} in cluster ${cluster}`;
};

/** Noise in the data of a compressed cluster, or anywhere. */
const scribble: Change = (bytes, _layout, prng) => {
  const at = prng.below(bytes.byteLength);
  bytes[at] = prng.below(256);
  return `byte ${at}`;
};

/** The file ends early, or right behind its last byte that is not zero. */
const cut: Change = (bytes, layout, prng) => {
  const end = prng.chance(0.5) ? bytes.byteLength - 512 * (1 + prng.below(layout.clusterSize / 512)) : lastUsed(bytes);
  bytes.fill(0, Math.max(0, end));
  return `zeros from ${end}`;
};

/** Unknown extensions fill the header's cluster. */
const fillHeader: Change = (bytes, layout, prng) => {
  let at = bytes.readUInt32BE(4) === 3 ? bytes.readUInt32BE(100) : 72;
  while (at + 8 <= layout.clusterSize && bytes.readUInt32BE(at) !== 0) at += 8 + Math.ceil(bytes.readUInt32BE(at + 4) / 8) * 8;
  const room = layout.clusterSize - at - 8 - prng.pick([0, 8, 16, 400, 520]);
  if (room <= 0) return 'nothing';
  bytes.writeUInt32BE(0x12345678, at);
  bytes.writeUInt32BE(room - (room % 8), at + 4);
  if (bytes.readUInt32BE(4) === 3) bytes[95] = (bytes[95] as number) | prng.pick([0, 4]);
  return `extension of ${room} bytes at ${at}`;
};

const CHANGES: readonly Change[] = [
  setField,
  setField,
  setField,
  setField,
  share,
  share,
  share,
  setRefcount,
  toggleCopied,
  compress,
  scribble,
  cut,
  fillHeader,
];

function lastUsed(bytes: Buffer): number {
  let end = bytes.byteLength;
  while (end > 0 && bytes[end - 1] === 0) end -= 1;
  return end;
}

function put(bytes: Buffer, at: number, width: number, value: bigint): void {
  if (at + width > bytes.byteLength) return;
  if (width === 8) bytes.writeBigUInt64BE(BigInt.asUintN(64, value), at);
  else bytes.writeUIntBE(Number(value), at, width);
}

export function addRefcount(bytes: Buffer, { refcountPlace, refcountOrder }: Layout, cluster: number, by: number): void {
  const place = refcountPlace(cluster);
  if (place === undefined || by === 0) return;
  const bits = 2 ** refcountOrder;
  if (bits >= 8) {
    const at = place.block + (place.entry * bits) / 8;
    const width = bits / 8;
    const last = at + width - 1;
    bytes[last] = Math.max(0, Math.min(255, (bytes[last] as number) + by));
    return;
  }
  const at = place.block + Math.floor((place.entry * bits) / 8);
  const shift = (place.entry * bits) % 8;
  const most = 2 ** bits - 1;
  const old = ((bytes[at] as number) >> shift) & most;
  bytes[at] = ((bytes[at] as number) & ~(most << shift)) | (Math.max(0, Math.min(most, old + by)) << shift);
}
