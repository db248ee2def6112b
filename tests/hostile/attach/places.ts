/** Where the fields and entries of a qcow2 image lie, of every structure, for changing one at a time. */
export interface Place {
  readonly kind: string;
  readonly at: number;
  /** Bytes. */
  readonly width: 1 | 2 | 4 | 8;
}

/** Host clusters by what they hold: targets for entries. */
export interface Layout {
  readonly clusterSize: number;
  readonly places: readonly Place[];
  readonly clusters: readonly { readonly kind: string; readonly cluster: number }[];
  /** Where the refcount of a cluster lies: byte and bits; undefined where no block describes it. */
  readonly refcountPlace: (cluster: number) => { readonly block: number; readonly entry: number } | undefined;
  readonly refcountOrder: number;
}

const HEADER_FIELDS: readonly (readonly [number, 4 | 8])[] = [
  [0, 4],
  [4, 4],
  [8, 8],
  [16, 4],
  [20, 4],
  [24, 8],
  [32, 4],
  [36, 4],
  [40, 8],
  [48, 8],
  [56, 4],
  [60, 4],
  [64, 8],
  [72, 8],
  [80, 8],
  [88, 8],
  [96, 4],
  [100, 4],
  [104, 8],
  [112, 8],
];

export function layoutOf(bytes: Buffer): Layout {
  const u64 = (at: number): number => Number(bytes.readBigUInt64BE(at));
  const clusterSize = 2 ** bytes.readUInt32BE(20);
  const isVersion3 = bytes.readUInt32BE(4) === 3;
  const isExtended = isVersion3 && (bytes.readUInt32BE(76) & 16) !== 0;
  const refcountOrder = isVersion3 ? bytes.readUInt32BE(96) : 4;
  const places: Place[] = HEADER_FIELDS.filter(([at]) => isVersion3 || at < 72).map(([at, width]) => ({ kind: 'header', at, width }));
  const clusters = [{ kind: 'header', cluster: 0 }];
  const claim = (kind: string, offset: number, byteLength: number): void => {
    for (let at = offset; at < offset + byteLength; at += clusterSize) clusters.push({ kind, cluster: at / clusterSize });
  };
  const entries = (kind: string, offset: number, count: number): void => {
    for (let index = 0; index < count && offset + index * 8 + 8 <= bytes.byteLength; index += 1)
      places.push({ kind, at: offset + index * 8, width: 8 });
  };
  const seen = new Set<number>();
  const walkL1 = (kind: string, offset: number, count: number): void => {
    claim(`${kind} L1`, offset, count * 8);
    entries(`${kind} L1 entry`, offset, count);
    for (let index = 0; index < count; index += 1) {
      const table = u64(offset + index * 8) % 2 ** 56;
      const at = table - (table % 512);
      if (at === 0 || seen.has(at)) continue;
      seen.add(at);
      claim(`${kind} L2`, at, clusterSize);
      for (let entry = 0; entry < clusterSize / 8; entry += 1) {
        const value = bytes.readBigUInt64BE(at + entry * 8);
        // Of empty entries the first and the last few suffice.
        if (value !== 0n || entry < 4 || entry >= clusterSize / 8 - 2)
          places.push({ kind: `${kind} L2 entry`, at: at + entry * 8, width: 8 });
        if (value === 0n || (value & (1n << 62n)) !== 0n || (isExtended && entry % 2 === 1)) continue;
        const data = Number(value & 0x00fffffffffffe00n);
        if (data !== 0) clusters.push({ kind: `${kind} data`, cluster: data / clusterSize });
      }
    }
  };
  walkL1('active', u64(40), bytes.readUInt32BE(36));
  for (let index = 0, at = u64(64); index < bytes.readUInt32BE(60); index += 1) {
    if (index === 0) claim('snapshot table', at, 1);
    for (const [offset, width] of [
      [0, 8],
      [8, 4],
      [12, 2],
      [14, 2],
      [32, 4],
      [36, 4],
      [40, 8],
      [48, 8],
    ] as const)
      places.push({ kind: 'snapshot entry', at: at + offset, width });
    walkL1('snapshot', u64(at), bytes.readUInt32BE(at + 8));
    at += Math.ceil((40 + bytes.readUInt32BE(at + 36) + bytes.readUInt16BE(at + 12) + bytes.readUInt16BE(at + 14)) / 8) * 8;
  }
  const blocks = new Map<number, number>();
  const tableOffset = u64(48);
  const tableBytes = bytes.readUInt32BE(56) * clusterSize;
  claim('refcount table', tableOffset, tableBytes);
  for (let index = 0; index < tableBytes / 8; index += 1) {
    const block = u64(tableOffset + index * 8);
    if (block !== 0 || index < 3) places.push({ kind: 'refcount table entry', at: tableOffset + index * 8, width: 8 });
    if (block === 0) continue;
    blocks.set(index, block);
    claim('refcount block', block, 1);
  }
  extensions(bytes, isVersion3 ? bytes.readUInt32BE(100) : 72, { places, claim, entries, u64 });
  const perBlock = (clusterSize * 8) / 2 ** refcountOrder;
  const refcountPlace: Layout['refcountPlace'] = (cluster) => {
    const block = blocks.get(Math.floor(cluster / perBlock));
    return block === undefined ? undefined : { block, entry: cluster % perBlock };
  };
  return { clusterSize, places, clusters, refcountPlace, refcountOrder };
}

interface Collect {
  readonly places: Place[];
  readonly claim: (kind: string, offset: number, byteLength: number) => void;
  readonly entries: (kind: string, offset: number, count: number) => void;
  readonly u64: (at: number) => number;
}

function extensions(bytes: Buffer, start: number, { places, claim, entries, u64 }: Collect): void {
  for (let at = start; at + 8 <= bytes.byteLength; ) {
    const type = bytes.readUInt32BE(at);
    const length = bytes.readUInt32BE(at + 4);
    places.push({ kind: 'extension', at, width: 4 }, { kind: 'extension', at: at + 4, width: 4 });
    if (type === 0) return;
    if (type === 0x23852875) {
      for (const [offset, width] of [
        [8, 4],
        [12, 4],
        [16, 8],
        [24, 8],
      ] as const)
        places.push({ kind: 'bitmaps extension', at: at + offset, width });
      const directory = u64(at + 24);
      claim('bitmap directory', directory, u64(at + 16));
      for (let entry = directory, index = 0; index < bytes.readUInt32BE(at + 8); index += 1) {
        for (const [offset, width] of [
          [0, 8],
          [8, 4],
          [12, 4],
          [16, 1],
          [17, 1],
          [18, 2],
          [20, 4],
        ] as const)
          places.push({ kind: 'bitmap entry', at: entry + offset, width });
        const table = u64(entry);
        const count = bytes.readUInt32BE(entry + 8);
        claim('bitmap table', table, count * 8);
        entries('bitmap table entry', table, Math.min(count, 8));
        for (let one = 0; one < count; one += 1) if (u64(table + one * 8) > 1) claim('bitmap data', u64(table + one * 8), 1);
        entry += Math.ceil((24 + bytes.readUInt32BE(entry + 20) + bytes.readUInt16BE(entry + 18)) / 8) * 8;
      }
    }
    at += 8 + Math.ceil(length / 8) * 8;
  }
}
