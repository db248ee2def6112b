/**
 * A model of ext4's extent tree with one extent for each block, which agrees with the kernel to the node (fs/ext4/extents.c,
 * Linux 6.18: ext4_ext_insert_extent, ext4_ext_create_new_leaf, ext4_ext_split, ext4_ext_grow_indepth).
 */

const ROOT_ENTRIES = 4;

interface Node {
  /** First block of each entry; of a leaf, its extents. */
  readonly keys: number[];
  /** Left out in a leaf. */
  readonly children?: Node[];
}

export class ExtentTree {
  readonly #capacity: number;
  #root: Node = { keys: [] };
  /** Blocks that the nodes below the inode take. */
  nodes = 0;
  depth = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  insert(block: number): void {
    let path = this.#path(block);
    while (this.#isFull(leafOf(path))) {
      const next = block > (leafOf(path).keys.at(-1) as number) ? nextLeaf(path) : undefined;
      if (next !== undefined && next.keys.length < this.#capacity) return addTo(next, block);
      const level = path.findLastIndex((node) => node.children !== undefined && !this.#isFull(node));
      if (level >= 0) this.#split(path, block, level);
      else this.#grow();
      path = this.#path(block);
    }
    addTo(leafOf(path), block);
  }

  /** Nodes from the leaf upward that are full, each the last of its parent, with the leaf lacking at most `lacking` entries. */
  fullAtTheEnd(lacking: number): { readonly height: number; readonly roomAbove: number } {
    const path = this.#path(Number.MAX_SAFE_INTEGER).slice(1).reverse();
    const height = path.findIndex(({ keys }, level) => keys.length < this.#capacity - (level === 0 ? lacking : 0));
    const above = height < 0 ? this.#root : (path[height] as Node);
    return { height: height < 0 ? path.length : height, roomAbove: this.#capacity - above.keys.length };
  }

  /** Entries of the last leaf. */
  get lastLeafEntries(): number {
    return leafOf(this.#path(Number.MAX_SAFE_INTEGER)).keys.length;
  }

  #isFull(node: Node): boolean {
    return node.keys.length >= (node === this.#root ? ROOT_ENTRIES : this.#capacity);
  }

  #path(block: number): Node[] {
    const path = [this.#root];
    for (let node = this.#root; node.children !== undefined; path.push(node)) node = node.children[placeIn(node, block)] as Node;
    return path;
  }

  /** The root moves to a node of its own. */
  #grow(): void {
    this.nodes += 1;
    this.depth += 1;
    this.#root = { keys: [this.#root.keys[0] as number], children: [this.#root] };
  }

  /** Cuts the leaf and every node below `level` behind the place of the new extent. */
  #split(path: readonly Node[], block: number, level: number): void {
    const leaf = leafOf(path);
    const cut = placeIn(leaf, block) + 1;
    const border = leaf.keys[cut] ?? block;
    let made: Node = { keys: leaf.keys.splice(cut) };
    this.nodes += 1;
    for (let at = path.length - 2; at > level; at -= 1) {
      const node = path[at] as Required<Node>;
      const behind = placeIn(node, block) + 1;
      made = { keys: [border, ...node.keys.splice(behind)], children: [made, ...node.children.splice(behind)] };
      this.nodes += 1;
    }
    const parent = path[level] as Required<Node>;
    const place = placeIn(parent, block) + 1;
    parent.keys.splice(place, 0, border);
    parent.children.splice(place, 0, made);
  }
}

function leafOf(path: readonly Node[]): Node {
  return path.at(-1) as Node;
}

/** The last entry at or before `block`, else the first. */
function placeIn({ keys }: Node, block: number): number {
  return Math.max(0, countUpTo(keys, block) - 1);
}

function addTo({ keys }: Node, block: number): void {
  keys.splice(countUpTo(keys, block), 0, block);
}

/** Of ascending `keys`, how many are at most `block`. */
function countUpTo(keys: readonly number[], block: number): number {
  let [low, high] = [0, keys.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((keys[middle] as number) <= block) low = middle + 1;
    else high = middle;
  }
  return low;
}

function nextLeaf(path: readonly Node[]): Node | undefined {
  for (let level = path.length - 2; level >= 0; level -= 1) {
    const { children = [] } = path[level] as Node;
    let node = children[children.indexOf(path[level + 1] as Node) + 1];
    if (node === undefined) continue;
    while (node.children !== undefined) node = node.children[0] as Node;
    return node;
  }
  return undefined;
}
