/** /dev/fuse: one connection to the kernel. Each read(2) is one request, each write(2) one reply. */
import { UserError } from "../core/errors.ts";
import { errnoName, errnoNumbers } from "./errno.ts";
import { cString, libc, O_CLOEXEC, O_NONBLOCK, O_RDWR, POLLIN } from "./ffi.ts";

export interface Device {
  readonly fd: number;
  /** Bytes of the request that was read, or a negative errno; never waits. */
  read(into: Uint8Array<ArrayBuffer>): number;
  /** 0, or a negative errno. */
  write(bytes: Uint8Array<ArrayBuffer>, length: number): number;
  /** A write(2) that may have to wait for replies, on another thread. What became of it is not known. */
  writeAsync(bytes: Uint8Array<ArrayBuffer>): Promise<void>;
  /** Resolves when a request may be there, the connection ended, or the time is over; the event loop runs meanwhile. */
  poll(timeoutMs: number): Promise<void>;
  /** Ends the connection: the mount answers ENOTCONN if it is still there. No poll or write may be under way. */
  close(): void;
}

const DEVICE_PATH = "/dev/fuse";

/** Throws UserError if there is no device or it may not be used. */
export function openDevice(): Device {
  const { symbols, errno } = libc();
  const fd = symbols.open(cString(DEVICE_PATH), O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) throw openError(errno());
  return deviceOf(fd);
}

/** The connection that an open /dev/fuse stands for; takes the descriptor over. It must be non-blocking. */
export function deviceOf(fd: number): Device {
  const { symbols, errno } = libc();
  // struct pollfd: int fd; short events; short revents.
  const pollFds = new Uint8Array(8);
  const pollView = new DataView(pollFds.buffer);
  pollView.setInt32(0, fd, true);
  pollView.setInt16(4, POLLIN, true);

  // BigInts of the lengths that occur all the time.
  let readBytes = 0;
  let readBytesBig = 0n;
  const small = Array.from({ length: 257 }, (_, bytes) => BigInt(bytes));

  return {
    fd,
    read(into) {
      if (into.length !== readBytes) {
        readBytes = into.length;
        readBytesBig = BigInt(readBytes);
      }
      const count = symbols.read(fd, into, readBytesBig);
      return count >= 0 ? count : -errno();
    },
    write(bytes, length) {
      const count = symbols.write(fd, bytes, small[length] ?? BigInt(length));
      return count === length ? 0 : count >= 0 ? -errnoNumbers.EIO : -errno();
    },
    async writeAsync(bytes) {
      await symbols.writeAsync(fd, bytes, BigInt(bytes.length));
    },
    async poll(timeoutMs) {
      await symbols.pollAsync(pollFds, 1n, timeoutMs);
    },
    close() {
      symbols.close(fd);
    },
  };
}

function openError(number: number): UserError {
  switch (number) {
    case errnoNumbers.ENOENT:
    case errnoNumbers.ENXIO:
    case errnoNumbers.ENODEV:
      return new UserError(
        `there is no ${DEVICE_PATH}: load the kernel module (modprobe fuse), or give the container the device (--device ${DEVICE_PATH})`,
      );
    case errnoNumbers.EACCES:
    case errnoNumbers.EPERM:
      return new UserError(
        `no permission to open ${DEVICE_PATH}: run as root, or give the container --cap-add SYS_ADMIN --device ${DEVICE_PATH}`,
      );
    default:
      return new UserError(`cannot open ${DEVICE_PATH}: ${errnoName(number)}`);
  }
}
