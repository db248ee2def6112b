/**
 * The bitmap in front of each block: one bit a sector, the most significant bit of a byte first; 1 says that the sector
 * was written. Source: VHD specification, "Data Blocks".
 */

/** A run of sectors of one block, half-open. */
export interface SectorRun {
  readonly startSector: number;
  readonly endSector: number;
}

/** The runs of clear bits among the sectors [startSector, endSector), ascending. */
export function* clearRuns(bitmap: Uint8Array, startSector: number, endSector: number): Generator<SectorRun> {
  let begun = -1;
  let sector = startSector;
  while (sector < endSector) {
    const byte = bitmap[Math.floor(sector / 8)] as number;
    const isWhole = sector % 8 === 0 && sector + 8 <= endSector;
    if (isWhole && (byte === 0xff || byte === 0)) {
      if (byte === 0 && begun < 0) begun = sector;
      if (byte === 0xff && begun >= 0) {
        yield { startSector: begun, endSector: sector };
        begun = -1;
      }
      sector += 8;
      continue;
    }
    const isSet = Math.floor(byte / 2 ** (7 - (sector % 8))) % 2 === 1;
    if (isSet && begun >= 0) {
      yield { startSector: begun, endSector: sector };
      begun = -1;
    }
    if (!isSet && begun < 0) begun = sector;
    sector += 1;
  }
  if (begun >= 0) yield { startSector: begun, endSector };
}
