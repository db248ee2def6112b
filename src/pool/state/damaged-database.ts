/** Reads a damaged database as far as possible. */
import { copyStateFile, overwriteStart, removeStateFile } from '#host';
import { Connection, type SqliteConstructor } from './connection.ts';

/** Of every SQLite file. Source: "Database File Format", 1.3; bytes 92-95 are version-valid-for. */
export const HEADER_BYTES = 100;
const VERSION_VALID_FOR_AT = 92;

export interface DamagedDatabase {
  /** The damaged file; undefined if it is gone. */
  readonly file: string | undefined;
  /** Path for a temporary copy: reading a database with a log can change it. */
  readonly copy: string;
  /** The header of an intact database, tried where the damaged one is unusable. */
  readonly header: Buffer | undefined;
}

/** The result of `read` on a copy of the damaged database, or else on one with a new header; undefined if both throw. */
export function readDamaged<T>(
  sqlite: SqliteConstructor,
  { file, copy, header: intact }: DamagedDatabase,
  read: (damaged: Connection) => T,
): T | undefined {
  if (file === undefined) return undefined;
  for (const header of [undefined, intact]) {
    try {
      copyStateFile(file, copy);
      if (header !== undefined) overwriteStart(copy, withoutLength(header));
      const connection = new Connection(new sqlite(copy));
      try {
        return read(connection);
      } finally {
        connection.abandon();
      }
    } catch {
      // Unreadable rows are lost, which the finding reports.
    } finally {
      removeStateFile(copy);
    }
  }
  return undefined;
}

/** The header, saying that the length of the database is that of its file. */
function withoutLength(header: Buffer): Buffer {
  const changed = Buffer.from(header);
  changed.fill(0xff, VERSION_VALID_FOR_AT, VERSION_VALID_FOR_AT + 4);
  return changed;
}
