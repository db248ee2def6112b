/**
 * Zstandard, with output and window bounded: by the decoder of Node's zlib, which 22.15 and 23.8 introduced. Before, libzstd runs
 * as WebAssembly (package zstddec), loaded when the first frame is met.
 *
 * V8 reserves 10 GiB of address space for a WebAssembly memory: under a smaller RLIMIT_AS Node has to be started with
 * `--disable-wasm-trap-handler`, or there is no decoder (ZSTD_UNAVAILABLE).
 */
import * as zlib from 'node:zlib';
import { type ErrorValue, PlimsollError } from '#base';
import { parseZstdFrame } from './zstd-frame.ts';

export interface UnzstdOptions {
  /** No more comes out; what would be longer is an error. */
  readonly mostBytes: number;
  /** For the error: what is read, and at which byte of the image the compressed data begins. */
  readonly doing: string;
  readonly at: number;
}

/**
 * The bytes that the one frame at the start of `input` stands for. What follows it is ignored: formats pad to sectors.
 *
 * Throws: corrupt, when it is no frame, is damaged or cut short, needs a dictionary or a window above 128 MiB, or gives more
 * than `mostBytes`.
 */
export type Unzstd = (input: Uint8Array, options: UnzstdOptions) => Uint8Array;

/** The largest window that libzstd takes by default, and with it QEMU. */
const MAX_WINDOW_LOG = 27;
const MAX_WINDOW_BYTES = 2 ** MAX_WINDOW_LOG;

let loading: Promise<Unzstd> | undefined;

/** The decoder; loaded once. Throws: unsupported, when there is only that in WebAssembly, which has no memory here. */
export function loadZstd(): Promise<Unzstd> {
  loading ??= load();
  return loading;
}

interface Decoder {
  /** At most `byteLength` bytes. Returns fewer, or throws, when the frame is damaged or holds more. */
  decode(input: Uint8Array, byteLength: number): Uint8Array;
}

/** zlib as newer versions of Node have it. */
interface ZlibWithZstd {
  readonly zstdDecompressSync?: (
    input: Uint8Array,
    options: { readonly maxOutputLength: number; readonly params: Readonly<Record<number, number>> },
  ) => Uint8Array;
  readonly constants: { readonly ZSTD_d_windowLogMax?: number };
}

/** The decoder of Node; undefined where it has none. */
function builtInDecoder({ zstdDecompressSync, constants }: ZlibWithZstd): Decoder | undefined {
  const { ZSTD_d_windowLogMax: windowLog } = constants;
  if (zstdDecompressSync === undefined || windowLog === undefined) return undefined;
  const params = { [windowLog]: MAX_WINDOW_LOG };
  return { decode: (input, byteLength) => zstdDecompressSync(input, { maxOutputLength: byteLength, params }) };
}

async function load(): Promise<Unzstd> {
  const builtIn = builtInDecoder(zlib as ZlibWithZstd);
  if (builtIn !== undefined) return (input, options) => unzstd(builtIn, input, options);
  try {
    const { ZSTDDecoder } = await import('zstddec');
    const decoder = new ZSTDDecoder();
    await withoutFetch(() => decoder.init());
    return (input, options) => unzstd(decoder, input, options);
  } catch (cause) {
    throw new PlimsollError('unsupported', 'ZSTD_UNAVAILABLE', {
      doing: 'start the Zstandard decoder',
      found: cause instanceof Error ? cause.message : String(cause),
      expected: 'memory for WebAssembly: 10 GiB of address space, or Node with --disable-wasm-trap-handler',
      cause,
    });
  }
}

/**
 * Calls `start` while there is no fetch(). The package would load its code through fetch() of a data: URL, and with it Node's
 * whole HTTP client, whose own WebAssembly ends the process where there is no memory for it.
 */
function withoutFetch(start: () => Promise<void>): Promise<void> {
  const property = Object.getOwnPropertyDescriptor(globalThis, 'fetch');
  if (property === undefined) return start();
  Object.defineProperty(globalThis, 'fetch', { value: undefined, configurable: true });
  try {
    return start();
  } finally {
    Object.defineProperty(globalThis, 'fetch', property);
  }
}

function unzstd(decoder: Decoder, input: Uint8Array, { mostBytes, doing, at }: UnzstdOptions): Uint8Array {
  const wrong = (code: string, found: ErrorValue, expected: string): PlimsollError =>
    new PlimsollError('corrupt', code, { doing, field: 'compressed data', at, found, expected });
  const frame = parseZstdFrame(input);
  if (typeof frame === 'string') throw wrong('ZSTD', frame, 'a Zstandard frame');
  const { byteLength, contentBytes, windowBytes } = frame;
  if (contentBytes !== undefined && contentBytes > mostBytes) throw wrong('ZSTD_TOO_LONG', contentBytes, `at most ${mostBytes} bytes`);
  if (windowBytes > MAX_WINDOW_BYTES) throw wrong('ZSTD_WINDOW', windowBytes, `a window of at most ${MAX_WINDOW_BYTES} bytes`);
  if (contentBytes === 0 || mostBytes === 0) return new Uint8Array();
  const output = decode(decoder, input.subarray(0, byteLength), contentBytes ?? mostBytes);
  // The package gives nothing for an error. A frame that does not say its size must hold something.
  if (contentBytes === undefined ? output.byteLength === 0 : output.byteLength !== contentBytes)
    throw wrong('ZSTD', `${byteLength} bytes that do not decompress`, `a Zstandard frame of at most ${mostBytes} bytes`);
  return output;
}

/** An error of the decoder, a trap of WebAssembly included, means that the frame is damaged. */
function decode(decoder: Decoder, frame: Uint8Array, byteLength: number): Uint8Array {
  try {
    return decoder.decode(frame, byteLength);
  } catch {
    return new Uint8Array();
  }
}
