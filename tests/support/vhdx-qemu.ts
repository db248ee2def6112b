/** VHDX images made and judged by QEMU's own tools. */
import { dirname } from 'node:path';
import { qemuImg, runTool } from './qemu.ts';

export interface VhdxOptions {
  readonly subformat?: 'dynamic' | 'fixed';
  /** 8M, for example. */
  readonly blockSize?: string;
  readonly logSize?: string;
  /** Blocks that are not written are zero (QEMU's default), else not present. */
  readonly blockStateZero?: boolean;
}

/** `qemu-img create -f vhdx`. */
export async function createVhdx(path: string, capacity: string, options: VhdxOptions = {}): Promise<void> {
  const { subformat = 'dynamic', blockSize = '1M', logSize = '1M', blockStateZero = true } = options;
  const list = `subformat=${subformat},block_size=${blockSize},log_size=${logSize},block_state_zero=${blockStateZero ? 'on' : 'off'}`;
  await qemuImg(dirname(path), 'create', '-q', '-f', 'vhdx', '-o', list, path, capacity);
}

/** Runs quiet commands (`write -q ...`) in one qemu-io process. */
export async function writeVhdx(path: string, commands: readonly string[]): Promise<void> {
  const said = await runTool('qemu-io', ['-t', 'unsafe', '-f', 'vhdx', path], { input: `${commands.join('\n')}\n` });
  if (said.replaceAll('qemu-io> ', '').trim() !== '') throw new Error(`qemu-io on ${path}: ${said.slice(0, 400)}`);
}

/**
 * Runs one command that needs a new block, and lets the write into the block allocation table at `batOffset` fail: the
 * log keeps what should have been written, as after a crash at that moment.
 */
export async function interruptVhdx(path: string, command: string, batOffset: number): Promise<void> {
  const fault = ['event=none', 'iotype=write', `sector=${batOffset / 512}`, 'errno=5'].map((one) => `file.inject-error.0.${one}`).join(',');
  const image = `driver=vhdx,file.driver=blkdebug,${fault},file.image.driver=file,file.image.filename=${path}`;
  const said = await runTool('qemu-io', ['--image-opts', image], { input: `${command}\n` }).catch((error: unknown) => String(error));
  if (!said.includes('Input/output error')) throw new Error(`qemu-io was not interrupted: ${said.slice(0, 400)}`);
}

/** The guest's bytes as QEMU reads them, in `target`. */
export async function convertVhdx(path: string, target: string): Promise<void> {
  await qemuImg(dirname(path), 'convert', '-f', 'vhdx', '-O', 'raw', path, target);
}
