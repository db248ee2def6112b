/** What lies below the images of a store: reasons against a yes, and limits on what can be written. */
import type { Assumption } from '#base';

/** A reason why available space, as the filesystem states it, is no promise. */
export interface StorageCaveat {
  readonly level: 'warning';
  /** A code of docs/findings.md. */
  readonly code: string;
  /** One sentence: what was seen, and why it leaves the answer open. */
  readonly message: string;
  /** The declaration that answers it; null: none does. */
  readonly coveredBy: Assumption | null;
}

/** A limit that was read: what it covers cannot take more than `remaining`. */
export interface StorageLimit {
  readonly level: 'warning';
  readonly code: string;
  /** Which files it covers, as `FileFacts.domains` names them (`subvolume 257`, `user 1000`); null: the whole filesystem. */
  readonly domain: string | null;
  /** Bytes. */
  readonly remaining: number;
  /** One sentence, which names the limit and what remains. */
  readonly message: string;
}

export interface UnderlyingStorage {
  readonly caveats: readonly StorageCaveat[];
  readonly limits: readonly StorageLimit[];
  /** The domains of new files in the directory that was examined. */
  readonly domains: readonly string[];
  /** What a yes rests on beside the filesystem itself, a sentence each: a layer below that was counted. */
  readonly countedLayers: readonly string[];
}

/** A filesystem on storage of its own, without limits. */
export const PLAIN_STORAGE: UnderlyingStorage = { caveats: [], limits: [], domains: [], countedLayers: [] };
