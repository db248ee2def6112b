/**
 * The building site of one image state: a directory of its own with the image under a fixed name, worked on only by
 * qemu-img and qemu-io (and by bytes, where a state is made that QEMU leaves only by accident).
 */
import { closeSync, openSync, readSync, statSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { type Opening, openingArguments, qemuImg, qemuIo, type QemuIoOptions, runTool } from '../../support/qemu.ts';
import { Prng } from '../prng.ts';

export interface ImageState {
  readonly name: string;
  readonly tags: readonly string[];
  readonly format: 'qcow2' | 'raw';
  /** QEMU refuses to write to it: nothing can grow. */
  readonly unwritable: boolean;
  build(site: Site): Promise<void>;
}

export type CreateOptions = Readonly<Record<string, string | number>>;

const SECRET = 'plimsoll';

export class Site {
  readonly directory: string;
  readonly format: 'qcow2' | 'raw';
  #secret: string | undefined;

  constructor(directory: string, format: 'qcow2' | 'raw') {
    this.directory = directory;
    this.format = format;
  }

  /** The image under test. */
  get image(): string {
    return this.file(`image.${this.format}`);
  }

  get opening(): Opening {
    return { path: this.image, format: this.format, ...(this.#secret === undefined ? {} : { secret: this.#secret }) };
  }

  file(name: string): string {
    return join(this.directory, name);
  }

  /** Makes the image; `more` are further arguments of `qemu-img create`. */
  async create(capacity: number, options: CreateOptions = {}, more: readonly string[] = []): Promise<void> {
    const luks = options['encrypt.format'] === 'luks';
    if (luks) this.#secret = SECRET;
    const secret = luks ? ['--object', `secret,id=sec0,data=${SECRET}`] : [];
    // As few rounds of key derivation as QEMU takes: the header's size does not depend on it.
    const all = luks ? { 'encrypt.key-secret': 'sec0', 'encrypt.iter-time': 10, ...options } : options;
    await qemuImg(
      this.directory,
      'create',
      '-q',
      '-f',
      this.format,
      ...secret,
      ...optionArguments(all),
      ...more,
      this.image,
      String(capacity),
    );
  }

  /** A second image beside the one under test: a base, a source. Never written by fills. */
  async createOther(name: string, capacity: number, options: CreateOptions, commands: readonly string[]): Promise<void> {
    await qemuImg(this.directory, 'create', '-q', '-f', 'qcow2', ...optionArguments(options), this.file(name), String(capacity));
    await qemuIo({ path: this.file(name), format: 'qcow2' }, commands, { cache: 'unsafe' });
  }

  /** Makes the image an overlay of `base`, a file beside it. */
  async createOverlay(base: string, capacity: number, options: CreateOptions = {}): Promise<void> {
    await this.create(capacity, options, ['-b', base, '-F', 'qcow2']);
  }

  /** Runs qemu-io on the image: one session, closed at the end. */
  async io(commands: readonly string[], options: QemuIoOptions = {}): Promise<void> {
    await qemuIo(this.opening, commands, { cache: 'unsafe', ...options });
  }

  /** Runs `qemu-img snapshot` with one action: `-c name`, `-d name`, `-a name`. */
  async snapshot(action: '-c' | '-d' | '-a', name: string): Promise<void> {
    await qemuImg(this.directory, 'snapshot', '-q', action, name, ...openingArguments(this.opening));
  }

  /** Runs `qemu-img bitmap` with the given actions on bitmap `name`. */
  async bitmap(name: string, ...actions: readonly string[]): Promise<void> {
    await qemuImg(this.directory, 'bitmap', ...actions, '-f', 'qcow2', this.image, name);
  }

  async resize(capacity: number, ...more: readonly string[]): Promise<void> {
    await qemuImg(this.directory, 'resize', '-q', '-f', this.format, ...more, this.image, String(capacity));
  }

  /** Makes the image by converting another file beside it. */
  async convertFrom(name: string, more: readonly string[]): Promise<void> {
    await qemuImg(this.directory, 'convert', '-f', 'qcow2', '-O', this.format, ...more, this.file(name), this.image);
  }

  /** Repairs leaks and refcounts, as an administrator does after a crash. */
  async repair(): Promise<void> {
    await qemuImg(this.directory, 'check', '-q', '-r', 'all', '-f', this.format, this.image);
  }

  /** Throws when QEMU finds errors in the image; leaks are none. */
  async mustBeSound(): Promise<void> {
    try {
      await qemuImg(this.directory, 'check', '-q', ...openingArguments(this.opening));
    } catch (error) {
      if (!/exit 3:/.test(String(error))) throw new Error(`QEMU damaged the image by itself: ${String(error)}`, { cause: error });
    }
  }

  /** Replaces the image by a copy made by `cp` with the given `--sparse`. */
  async copyOver(sparse: 'always' | 'never'): Promise<void> {
    await runTool('cp', ['--reflink=never', `--sparse=${sparse}`, this.image, this.file('copy.tmp')]);
    await runTool('mv', [this.file('copy.tmp'), this.image]);
  }

  /** A file of `byteLength` bytes of which the given part compresses not at all, the rest to nothing. */
  dataFileOf(name: string, byteLength: number, incompressibleRatio: number): string {
    const content = new Uint8Array(byteLength);
    content.set(new Prng(byteLength).bytes(Math.floor(byteLength * incompressibleRatio)));
    writeFileSync(this.file(name), content);
    return this.file(name);
  }

  /** Adds zeroes (a hole) or bytes behind the end of the image. */
  appendBytes(byteLength: number, content: 'hole' | 'data'): void {
    const end = statSync(this.image).size;
    if (content === 'hole') truncateSync(this.image, end + byteLength);
    else this.patch(end, new Uint8Array(byteLength).fill(0x5a));
  }

  /** Overwrites bytes of the image. */
  patch(fileOffset: number, content: Uint8Array): void {
    const handle = openSync(this.image, 'r+');
    writeSync(handle, content, 0, content.byteLength, fileOffset);
    closeSync(handle);
  }

  /** The big-endian 64-bit integer at `fileOffset` of the image. */
  readUint64(fileOffset: number): bigint {
    const handle = openSync(this.image, 'r');
    const buffer = Buffer.alloc(8);
    readSync(handle, buffer, 0, 8, fileOffset);
    closeSync(handle);
    return buffer.readBigUInt64BE();
  }

  /** Clears `count` entries of the first L2 table from `first` on, every `step`th: their clusters are leaked. */
  leak(first: number, count: number, step: number): void {
    const l1TableOffset = Number(this.readUint64(40));
    const l2TableOffset = Number(this.readUint64(l1TableOffset) & 0x00ff_ffff_ffff_fe00n);
    for (let index = 0; index < count; index++) this.patch(l2TableOffset + 8 * (first + index * step), new Uint8Array(8));
  }
}

function optionArguments(options: CreateOptions): string[] {
  const pairs = Object.entries(options).map(([name, value]) => `${name}=${value}`);
  return pairs.length === 0 ? [] : ['-o', pairs.join(',')];
}

/** Declares a qcow2 state. */
export function state(name: string, tags: readonly string[], build: (site: Site) => Promise<void>): ImageState {
  return { name, tags, format: 'qcow2', unwritable: false, build };
}

/** Declares a raw state. */
export function rawState(name: string, tags: readonly string[], build: (site: Site) => Promise<void>): ImageState {
  return { name, tags: ['raw', ...tags], format: 'raw', unwritable: false, build };
}
