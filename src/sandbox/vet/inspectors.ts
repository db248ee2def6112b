/** For each format: is what its bytes say sound, and does the policy accept it. */
import type { ReadableDevice } from '#block';
import type { Sign } from '#formats';
import type { VetReport } from '#wire';
import type { VetFormat, VetPolicy } from './policy.ts';
import type { Reasons } from './reasons.ts';
import { inspectVdi, inspectVhd, inspectVhdx } from './inspect-blocks.ts';
import { inspectQcow2 } from './inspect-qcow2.ts';
import { inspectRaw } from './inspect-raw.ts';
import { inspectVmdk } from './inspect-vmdk.ts';

export interface InspectContext {
  readonly policy: VetPolicy;
  readonly reasons: Reasons;
  readonly signs: readonly Sign[];
  readonly signal: AbortSignal | undefined;
}

export interface Inspected {
  /** null when it is not worth knowing: the image is refused. */
  readonly capacity: number | null;
  readonly examined: VetReport['examined'];
  readonly details: VetReport['details'];
  /** At which places of the file the guest's own data lies. Left out: nowhere that a sign could be. */
  readonly dataAmong?: DataAmong;
}

/** Those of `places` (bytes of the file) at which the guest's bytes lie. */
export type DataAmong = (places: readonly number[]) => Promise<ReadonlySet<number>>;

/** Throws: corrupt, unsupported, refused, over-budget: what the parser finds; io; AbortError. */
export type Inspector = (device: ReadableDevice, context: InspectContext) => Promise<Inspected>;

const INSPECTORS: Readonly<Record<VetFormat, Inspector>> = {
  raw: inspectRaw,
  qcow2: inspectQcow2,
  vmdk: inspectVmdk,
  vhd: inspectVhd,
  vhdx: inspectVhdx,
  vdi: inspectVdi,
};

export function inspectorOf(format: VetFormat): Inspector {
  return INSPECTORS[format];
}
