/**
 * An open file of the library API, in the manner of Deno.FsFile.
 *
 * Invariants:
 * - From open to close the object holds one handle and one lookup reference; close gives back both, once, and waits
 *   for calls under way first, so that the handle is not released under them.
 * - `#position` belongs to the turn: read, write and seek take turns (`#turn`), so calls that were not awaited behave as
 *   if they ran in the order they were made. Positional calls (readAt, writeAt) take no turn.
 */
import { FsError } from "../errors.ts";
import { FILE_BYTES_MAX } from "../limits.ts";
import { type FileInfo, fileInfo, type TimeInput, timespecOf } from "./file_info.ts";
import { pathError } from "./path_error.ts";
import { type Caller, O_ACCMODE, O_APPEND, O_RDONLY, O_WRONLY, type SetAttr, type Vfs } from "./types.ts";

/** Longest piece given to the operation surface at once; the same as a FUSE request's. */
const PIECE_BYTES = 1 << 20;
const STREAM_CHUNK_BYTES = 256 << 10;

/** Where {@link VolumeFile.seek} counts from. The values are those of lseek(2) and of Deno.SeekMode. */
export enum SeekMode {
  Start = 0,
  Current = 1,
  End = 2,
}

/** An open file. Reads and writes without an offset start at the file's position and move it. */
export interface VolumeFile extends AsyncDisposable {
  /** Fills `into` as far as the file goes. The number of bytes read; null at end of file. */
  read(into: Uint8Array): Promise<number | null>;
  /** Writes all of `data` (with `append`: at the end of the file). Its length. */
  write(data: Uint8Array): Promise<number>;
  /** Like `read`, from `offset`, leaving the position alone. */
  readAt(into: Uint8Array, offset: number): Promise<number | null>;
  /** Like `write`, at `offset`, leaving the position alone. On a file opened with `append` the data goes to the end, as
   *  pwrite(2) does on Linux. */
  writeAt(data: Uint8Array, offset: number): Promise<number>;
  /** Moves the position; the new one. It may lie past the end of the file. */
  seek(offset: number, whence?: SeekMode): Promise<number>;
  stat(): Promise<FileInfo>;
  /** Cuts or extends (with zeros) to `length` bytes, 0 if not given. The position stays. */
  truncate(length?: number): Promise<void>;
  chmod(mode: number): Promise<void>;
  chown(uid: number | null, gid: number | null): Promise<void>;
  utime(atime: TimeInput, mtime: TimeInput): Promise<void>;
  /** fsync(2): when it returns, data and attributes survive power loss. */
  sync(): Promise<void>;
  /** fdatasync(2). */
  syncData(): Promise<void>;
  /** Stores what was written and makes it visible to others, as close(2) would, but the file stays open. */
  flush(): Promise<void>;
  /** Flushes, then frees the handle, also if flushing fails: the error says that writes may be lost. Idempotent. */
  close(): Promise<void>;
  /** From the position to the end. The file is closed when the stream ends, fails or is cancelled. */
  readonly readable: ReadableStream<Uint8Array<ArrayBuffer>>;
  /** Writes from the position on. Closing or aborting the stream closes the file. */
  readonly writable: WritableStream<Uint8Array>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** What the file was opened as. */
export interface OpenedFile {
  readonly vfs: Vfs;
  readonly caller: Caller;
  readonly ino: number;
  readonly handle: number;
  readonly flags: number;
  /** Runs a function while no other append to this inode runs. */
  readonly appendTurn: <T>(ino: number, run: () => Promise<T>) => Promise<T>;
  /** For messages. */
  readonly shownPath: string;
  /** Called once, when the handle is gone. */
  readonly onClosed: (file: VolumeFile) => void;
}

/** Takes over the handle and one lookup reference. */
export function openedFile(opened: OpenedFile): VolumeFile {
  return new VolumeFileOverVfs(opened);
}

class VolumeFileOverVfs implements VolumeFile {
  readonly #opened: OpenedFile;
  #position = 0;
  /** Settles, never rejects, when the last call that takes turns is done. */
  #turn: Promise<unknown> = Promise.resolve();
  #busy = 0;
  #onIdle: (() => void) | null = null;
  #closing: Promise<void> | null = null;
  #readable: ReadableStream<Uint8Array<ArrayBuffer>> | null = null;
  #writable: WritableStream<Uint8Array> | null = null;

  constructor(opened: OpenedFile) {
    this.#opened = opened;
  }

  read(into: Uint8Array): Promise<number | null> {
    return this.#call("read", () =>
      this.#inTurn(async () => {
        const count = await this.#readAt(into, this.#position);
        this.#position += count ?? 0;
        return count;
      }));
  }

  write(data: Uint8Array): Promise<number> {
    return this.#call("write", () =>
      this.#inTurn(async () => {
        this.#position = await this.#writeAt(data, this.#position);
        return data.length;
      }));
  }

  readAt(into: Uint8Array, offset: number): Promise<number | null> {
    return this.#call("read", () => this.#readAt(into, offset));
  }

  writeAt(data: Uint8Array, offset: number): Promise<number> {
    return this.#call("write", async () => {
      await this.#writeAt(data, offset);
      return data.length;
    });
  }

  seek(offset: number, whence: SeekMode = SeekMode.Start): Promise<number> {
    return this.#call("seek", () =>
      this.#inTurn(async () => {
        let base = 0;
        if (whence === SeekMode.Current) base = this.#position;
        else if (whence === SeekMode.End) base = (await this.#attr()).length;
        this.#position = checkOffset(base + offset);
        return this.#position;
      }));
  }

  stat(): Promise<FileInfo> {
    return this.#call("stat", async () => fileInfo(await this.#attr()));
  }

  truncate(length = 0): Promise<void> {
    return this.#call("truncate", () => {
      // ftruncate(2): EINVAL, not EBADF, on a file that is open for reading alone.
      if (this.#accessMode === O_RDONLY) throw new FsError("EINVAL", "not open for writing");
      return this.#setattr({ length: checkOffset(length), killSuidGid: this.#opened.caller.uid !== 0 });
    });
  }

  chmod(mode: number): Promise<void> {
    return this.#call("chmod", () => this.#setattr({ mode: mode & 0o7777 }));
  }

  chown(uid: number | null, gid: number | null): Promise<void> {
    return this.#call("chown", () => this.#setattr(ownerChange(uid, gid)));
  }

  utime(atime: TimeInput, mtime: TimeInput): Promise<void> {
    return this.#call("utime", () => this.#setattr(timesChange(atime, mtime)));
  }

  sync(): Promise<void> {
    const { vfs, caller, ino, handle } = this.#opened;
    return this.#call("sync", () => this.#inTurn(async () => await vfs.fsync(caller, ino, handle, false)));
  }

  syncData(): Promise<void> {
    const { vfs, caller, ino, handle } = this.#opened;
    return this.#call("sync", () => this.#inTurn(async () => await vfs.fsync(caller, ino, handle, true)));
  }

  flush(): Promise<void> {
    const { vfs, caller, ino, handle } = this.#opened;
    return this.#call("flush", () => this.#inTurn(async () => await vfs.flush(caller, ino, handle)));
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  get readable(): ReadableStream<Uint8Array<ArrayBuffer>> {
    this.#readable ??= new ReadableStream<Uint8Array<ArrayBuffer>>({
      pull: async (controller) => {
        try {
          const chunk = new Uint8Array(STREAM_CHUNK_BYTES);
          const count = await this.read(chunk);
          if (count === null) {
            await this.close();
            controller.close();
          } else {
            controller.enqueue(chunk.subarray(0, count));
          }
        } catch (error) {
          await this.#closeQuietly();
          throw error;
        }
      },
      cancel: () => this.close(),
    }, { highWaterMark: 0 });
    return this.#readable;
  }

  get writable(): WritableStream<Uint8Array> {
    this.#writable ??= new WritableStream<Uint8Array>({
      write: async (chunk) => {
        try {
          await this.write(chunk);
        } catch (error) {
          await this.#closeQuietly();
          throw error;
        }
      },
      close: () => this.close(),
      abort: () => this.close(),
    });
    return this.#writable;
  }

  get #accessMode(): number {
    return this.#opened.flags & O_ACCMODE;
  }

  async #attr() {
    const { vfs, caller, ino, handle } = this.#opened;
    return (await vfs.getattr(caller, ino, handle)).attr;
  }

  async #setattr(change: SetAttr): Promise<void> {
    const { vfs, caller, ino, handle } = this.#opened;
    await vfs.setattr(caller, ino, { ...change, handle });
  }

  async #readAt(into: Uint8Array, offset: number): Promise<number | null> {
    if (this.#accessMode === O_WRONLY) throw new FsError("EBADF", "not open for reading");
    checkOffset(offset);
    if (into.length === 0) return 0;
    const { vfs, caller, ino, handle } = this.#opened;
    let done = 0;
    while (done < into.length) {
      const piece = into.subarray(done, done + PIECE_BYTES);
      const count = await vfs.read(caller, ino, handle, offset + done, piece);
      done += count;
      if (count < piece.length) break;
    }
    return done === 0 ? null : done;
  }

  /** The offset after the last byte written. */
  #writeAt(data: Uint8Array, offset: number): Promise<number> {
    if (this.#accessMode === O_RDONLY) throw new FsError("EBADF", "not open for writing");
    checkOffset(offset);
    const { ino, flags, appendTurn } = this.#opened;
    if ((flags & O_APPEND) === 0) return this.#writeAll(data, offset);
    // Between asking for the length and writing there nobody of this program may append to the file.
    return appendTurn(ino, async () => await this.#writeAll(data, (await this.#attr()).length));
  }

  async #writeAll(data: Uint8Array, offset: number): Promise<number> {
    const { vfs, caller, ino, handle } = this.#opened;
    let at = offset;
    if (at + data.length > FILE_BYTES_MAX) throw new FsError("EFBIG");
    while (at - offset < data.length) {
      const piece = data.subarray(at - offset, at - offset + PIECE_BYTES);
      const count = await vfs.write(caller, ino, handle, at, piece, caller.uid !== 0);
      if (count <= 0) throw new FsError("EIO", "nothing was written");
      at += count;
    }
    return at;
  }

  async #close(): Promise<void> {
    // New calls fail from here on; those under way end first.
    if (this.#busy > 0) await new Promise<void>((resolve) => this.#onIdle = resolve);
    const { vfs, caller, ino, handle, shownPath, onClosed } = this.#opened;
    try {
      await vfs.flush(caller, ino, handle);
    } catch (error) {
      throw pathError(error, `close ${shownPath}`);
    } finally {
      await vfs.release(ino, handle);
      vfs.forget(ino, 1);
      onClosed(this);
    }
  }

  /** For a stream that already has an error to report. */
  async #closeQuietly(): Promise<void> {
    try {
      await this.close();
    } catch {
      // The first error is the one that the stream's user sees.
    }
  }

  /** Runs one call: refused after close, counted while it runs, its error told with the path. */
  async #call<T>(what: string, run: () => Promise<T>): Promise<T> {
    if (this.#closing !== null) {
      throw pathError(new FsError("EBADF", "the file is closed"), `${what} ${this.#opened.shownPath}`);
    }
    this.#busy++;
    try {
      return await run();
    } catch (error) {
      throw pathError(error, `${what} ${this.#opened.shownPath}`);
    } finally {
      if (--this.#busy === 0) this.#onIdle?.();
    }
  }

  #inTurn<T>(run: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(run);
    this.#turn = result.catch(() => {});
    return result;
  }
}

/** EINVAL unless it is a whole number from 0 on; EFBIG past the longest file. */
export function checkOffset(offset: number): number {
  if (offset > FILE_BYTES_MAX) throw new FsError("EFBIG", "past the longest file");
  if (!Number.isInteger(offset) || offset < 0) throw new FsError("EINVAL", "not a file offset");
  return offset;
}

export function ownerChange(uid: number | null, gid: number | null): SetAttr {
  for (const id of [uid, gid]) {
    if (id !== null && (!Number.isInteger(id) || id < 0 || id > 0xffff_fffe)) {
      throw new FsError("EINVAL", "not a user or group id");
    }
  }
  return { uid: uid ?? undefined, gid: gid ?? undefined };
}

export function timesChange(atime: TimeInput, mtime: TimeInput): SetAttr {
  const a = timespecOf(atime);
  const m = timespecOf(mtime);
  if (a === null || m === null) throw new FsError("EINVAL", "not a time");
  return { atime: a, mtime: m };
}
