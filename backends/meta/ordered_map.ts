/**
 * A map with ordered keys that stays fast with millions of entries: a list of blocks of at most {@link BLOCK_ENTRIES_MAX}
 * sorted entries. Finding is two binary searches. An insert moves entries of one block, and in one of some hundred inserts
 * the list of blocks, whose length is the entries divided by some hundred: for 10 million entries a move of 300 KB.
 *
 * Invariants: no block is empty; keys rise strictly within a block and from block to block. Nothing here is asynchronous.
 */

const BLOCK_ENTRIES_MAX = 512;
/** Neighbours that fit together into half a block are joined. */
const BLOCK_ENTRIES_JOIN = BLOCK_ENTRIES_MAX / 2;

interface Block<V> {
  keys: string[];
  values: V[];
}

export class OrderedMap<V> {
  readonly #blocks: Block<V>[] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(key: string): V | undefined {
    const block = this.#blocks[this.#blockIndex(key)];
    if (block === undefined) return undefined;
    const at = lowerBound(block.keys, key);
    return block.keys[at] === key ? block.values[at] : undefined;
  }

  set(key: string, value: V): void {
    const index = this.#blockIndex(key);
    const block = this.#blocks[index];
    if (block === undefined) {
      this.#blocks.push({ keys: [key], values: [value] });
      this.#size = 1;
      return;
    }
    const at = lowerBound(block.keys, key);
    if (block.keys[at] === key) {
      block.values[at] = value;
      return;
    }
    this.#size++;
    if (at === block.keys.length) {
      block.keys.push(key);
      block.values.push(value);
    } else {
      block.keys.splice(at, 0, key);
      block.values.splice(at, 0, value);
    }
    if (block.keys.length > BLOCK_ENTRIES_MAX) this.#split(index, block, at);
  }

  delete(key: string): boolean {
    const index = this.#blockIndex(key);
    const block = this.#blocks[index];
    if (block === undefined) return false;
    const at = lowerBound(block.keys, key);
    if (block.keys[at] !== key) return false;
    this.#size--;
    block.keys.splice(at, 1);
    block.values.splice(at, 1);
    if (block.keys.length === 0) {
      this.#blocks.splice(index, 1);
    } else if (block.keys.length < BLOCK_ENTRIES_JOIN / 2) {
      const next = this.#blocks[index + 1];
      if (next !== undefined && block.keys.length + next.keys.length <= BLOCK_ENTRIES_JOIN) {
        block.keys.push(...next.keys);
        block.values.push(...next.values);
        this.#blocks.splice(index + 1, 1);
      }
    }
    return true;
  }

  /** Visits entries with keys >= `from` in order until `visit` returns false. `visit` must not change the map. */
  scan(from: string, visit: (key: string, value: V) => boolean): void {
    let index = this.#blockIndex(from);
    let block = this.#blocks[index];
    if (block === undefined) return;
    let at = lowerBound(block.keys, from);
    while (block !== undefined) {
      for (; at < block.keys.length; at++) {
        if (!visit(block.keys[at] as string, block.values[at] as V)) return;
      }
      block = this.#blocks[++index];
      at = 0;
    }
  }

  /** The block that has `key` or would take it: the last one whose first key is not after it, or else the first. */
  #blockIndex(key: string): number {
    let low = 0;
    let high = this.#blocks.length;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if ((this.#blocks[middle] as Block<V>).keys[0] as string <= key) low = middle;
      else high = middle;
    }
    return low;
  }

  #split(index: number, block: Block<V>, insertedAt: number): void {
    // Keys that only ever grow (inode numbers, sequences) would leave all blocks half full: cut at the end for them.
    const atEnd = insertedAt === block.keys.length - 1 && index === this.#blocks.length - 1;
    const cut = atEnd ? block.keys.length - 1 : block.keys.length >>> 1;
    // slice, not splice: what remains gets an array of its size.
    const upper = { keys: block.keys.slice(cut), values: block.values.slice(cut) };
    block.keys = block.keys.slice(0, cut);
    block.values = block.values.slice(0, cut);
    this.#blocks.splice(index + 1, 0, upper);
  }
}

/** The first place whose key is not before `key`. */
function lowerBound(keys: readonly string[], key: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((keys[middle] as string) < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
