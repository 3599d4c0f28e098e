/** Lists of names remembered as one number each: enough to find out what of a list is still there, and where. */

/** 53 bits of two FNV-1a hashes: among the names of one page two are never taken for each other in practice. */
export function nameHash(name: Uint8Array): number {
  let a = 0x811c9dc5;
  let b = 0x2b992ddf;
  for (let i = 0; i < name.length; i++) {
    const byte = name[i] as number;
    a = Math.imul(a ^ byte, 0x01000193);
    b = Math.imul(b ^ byte, 0x85ebca6b);
    b ^= b >>> 15;
  }
  return (a >>> 0) * 0x200000 + (b >>> 11);
}

export function sameHashes(a: Float64Array | undefined, b: Float64Array): boolean {
  if (a === undefined || a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** The last of the names `then[0..index]` that is among `now`: its place there, -1 if none is. Both lists have one order. */
export function lastSurvivor(then: Float64Array, index: number, now: Float64Array): number {
  const places = new Map<number, number>();
  for (let i = 0; i < now.length; i++) places.set(now[i] as number, i);
  for (let i = index; i >= 0; i--) {
    const place = places.get(then[i] as number);
    if (place !== undefined) return place;
  }
  return -1;
}

/** Order of the bytes, as the store lists names. */
export function compareNames(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const difference = (a[i] as number) - (b[i] as number);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}
