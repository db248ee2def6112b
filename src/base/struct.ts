/**
 * Declarative tables of on-disk structures: each field with its byte offset, width and meaning, checked for overlaps,
 * holes and the total when the module loads. The same table drives parsing, the dumper and the mutation tests.
 */
import { PlimsollError } from './errors.ts';
import { readUint64 } from './numbers.ts';

export type FieldKind = 'u8' | 'u16' | 'u32' | 'u64' | 'mask64' | 'bytes' | 'reserved';

export interface Field<T> {
  readonly kind: FieldKind;
  readonly at: number;
  readonly width: number;
  /** Only for the type system: what `read` returns for this field. */
  readonly type?: T;
}

const field = <T>(kind: FieldKind, at: number, width: number): Field<T> => ({ kind, at, width });

export const u8 = (at: number): Field<number> => field('u8', at, 1);
export const u16 = (at: number): Field<number> => field('u16', at, 2);
export const u32 = (at: number): Field<number> => field('u32', at, 4);
/** A count, length or offset of 64 bits; reading refuses what is not below 2^53. */
export const u64 = (at: number): Field<number> => field('u64', at, 8);
/** A mask of 64 bits, kept as bigint. */
export const mask64 = (at: number): Field<bigint> => field('mask64', at, 8);
export const bytes = (at: number, width: number): Field<Uint8Array> => field('bytes', at, width);
export const reserved = (at: number, width: number): Field<undefined> => field('reserved', at, width);

export type Fields = Readonly<Record<string, Field<unknown>>>;
export type RecordOf<F extends Fields> = { readonly [K in keyof F]: F[K] extends Field<infer T> ? T : never };

export interface Struct<F extends Fields> {
  readonly name: string;
  readonly byteLength: number;
  readonly fields: F;
  /**
   * The record at `base` of `view`. `viewAt` is the view's own position in its file, so that errors tell the place.
   *
   * Throws: corrupt, when the view is too short or a u64 is too large.
   */
  read(view: DataView, base?: number, viewAt?: number): RecordOf<F>;
}

/** Which byte of an integer comes first: the most significant (big) or the least (little). */
export type Endian = 'big' | 'little';

/** A structure of `byteLength` bytes; throws at module load when the fields overlap or leave a hole. */
export function struct<F extends Fields>(name: string, byteLength: number, fields: F, endian: Endian = 'big'): Struct<F> {
  const ordered = Object.entries(fields).sort((a, b) => a[1].at - b[1].at);
  let end = 0;
  for (const [fieldName, one] of ordered) {
    if (one.at !== end) throw new Error(`${name}.${fieldName} starts at ${one.at}, the field before ends at ${end}`);
    end = one.at + one.width;
  }
  if (end !== byteLength) throw new Error(`${name} ends at ${end}, declared ${byteLength}`);
  const read = (view: DataView, base = 0, viewAt = 0): RecordOf<F> => {
    if (view.byteLength - base < byteLength) {
      throw new PlimsollError('corrupt', 'STRUCT_TRUNCATED', {
        doing: `read ${name}`,
        at: viewAt + base,
        found: `${Math.max(0, view.byteLength - base)} bytes`,
        expected: `${byteLength} bytes`,
      });
    }
    const record: Record<string, unknown> = {};
    for (const [fieldName, one] of ordered)
      record[fieldName] = readField(view, base, one, { doing: `read ${name}`, field: fieldName, viewAt, endian });
    return record as RecordOf<F>;
  };
  return { name, byteLength, fields, read };
}

interface FieldLocation {
  readonly doing: string;
  readonly field: string;
  readonly viewAt: number;
  readonly endian: Endian;
}

function readField(view: DataView, base: number, one: Field<unknown>, whence: FieldLocation): unknown {
  const at = base + one.at;
  const little = whence.endian === 'little';
  switch (one.kind) {
    case 'u8':
      return view.getUint8(at);
    case 'u16':
      return view.getUint16(at, little);
    case 'u32':
      return view.getUint32(at, little);
    case 'u64':
      return readUint64(view, at, whence.doing, whence.field, whence.viewAt, little);
    case 'mask64':
      return view.getBigUint64(at, little);
    case 'bytes':
      return new Uint8Array(view.buffer, view.byteOffset + at, one.width);
    case 'reserved':
      return undefined;
  }
}
