/** Open files and directories by handle number. Numbers are never reused in one mount. */
import { FsError } from "../errors.ts";
import type { Node } from "./nodes.ts";
import type { DirSink } from "./types.ts";

export interface FileHandle {
  readonly kind: "file";
  readonly node: Node;
  /** open(2) flags. */
  readonly flags: number;
}

export interface DirectoryHandle {
  readonly kind: "directory";
  /** Where the listing is; directory_stream.ts. */
  readonly stream: { read(offset: number, plus: boolean, sink: DirSink): Promise<void> };
}

export class Handles {
  private handles = new Map<number, FileHandle | DirectoryHandle>();
  private next = 1;

  add(handle: FileHandle | DirectoryHandle): number {
    this.handles.set(this.next, handle);
    return this.next++;
  }

  file(handle: number): FileHandle {
    const found = this.handles.get(handle);
    if (found === undefined || found.kind !== "file") throw new FsError("EBADF");
    return found;
  }

  directory(handle: number): DirectoryHandle {
    const found = this.handles.get(handle);
    if (found === undefined || found.kind !== "directory") throw new FsError("EBADF");
    return found;
  }

  remove(handle: number): FileHandle | DirectoryHandle | undefined {
    const found = this.handles.get(handle);
    this.handles.delete(handle);
    return found;
  }

  *files(): Iterable<FileHandle> {
    for (const handle of this.handles.values()) if (handle.kind === "file") yield handle;
  }
}
