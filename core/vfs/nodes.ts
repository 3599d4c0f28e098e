/**
 * Nodes: what this client knows of inodes that the kernel or an open handle refers to.
 *
 * Invariants:
 * - A node exists while `lookups + opens > 0`, and no longer.
 * - `opens` counts open file handles and opens under way: a file with `opens > 0` that loses its last name is kept
 *   (`sustained`) until `opens` is 0.
 * - While a file without opens is being removed, opens of it wait (`removing`): either the open comes first and the file
 *   is kept, or the removal comes first and the open finds nothing.
 */
import type { InodeRow } from "../meta/schema.ts";

export interface Node {
  readonly ino: number;
  lookups: number;
  opens: number;
  /** The last name is gone; the session keeps the file for its open handles. */
  sustained: boolean;
  /** A file or directory that was removed: what stat of a reference to it still shows. */
  ghost: InodeRow | null;
  /** `sliceSeq` of the contents that the kernel's page cache shows; -1 if unknown. */
  contentSeq: number;
}

export class Nodes {
  private nodes = new Map<number, Node>();
  private removing = new Map<number, Promise<void>>();

  get(ino: number): Node | undefined {
    return this.nodes.get(ino);
  }

  addLookup(ino: number): void {
    this.obtain(ino).lookups++;
  }

  forget(ino: number, count: number): void {
    const node = this.nodes.get(ino);
    if (node === undefined) return;
    node.lookups = Math.max(0, node.lookups - count);
    this.dropIfUnused(node);
  }

  addOpen(ino: number): Node {
    const node = this.obtain(ino);
    node.opens++;
    return node;
  }

  /** Returns true if this was the last open handle. */
  removeOpen(node: Node): boolean {
    node.opens--;
    this.dropIfUnused(node);
    return node.opens === 0;
  }

  /** For a removal's plan: is the file open? If not, opens wait from now on until `settled`. */
  isOpen(ino: number, settled: Promise<void>): boolean {
    if ((this.nodes.get(ino)?.opens ?? 0) > 0) return true;
    this.removing.set(ino, settled);
    return false;
  }

  endRemoval(ino: number, settled: Promise<void>): void {
    if (this.removing.get(ino) === settled) this.removing.delete(ino);
  }

  /** Resolves when a removal that is under way has settled; undefined if there is none. */
  removal(ino: number): Promise<void> | undefined {
    return this.removing.get(ino);
  }

  *sustained(): Iterable<Node> {
    for (const node of this.nodes.values()) if (node.sustained) yield node;
  }

  private obtain(ino: number): Node {
    let node = this.nodes.get(ino);
    if (node === undefined) {
      node = { ino, lookups: 0, opens: 0, sustained: false, ghost: null, contentSeq: -1 };
      this.nodes.set(ino, node);
    }
    return node;
  }

  private dropIfUnused(node: Node): void {
    if (node.lookups === 0 && node.opens === 0) this.nodes.delete(node.ino);
  }
}
