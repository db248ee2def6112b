/** Vetting as a request of the confined worker. */
import { PlimsollError } from '#base';
import { type BlockDevice, withReadBudget } from '#block';
import type { RequestFile } from '../worker/handlers.ts';
import { type Judgement, judge } from './judge.ts';
import type { VetPolicy } from './policy.ts';

/** JSON. */
export interface VetParams {
  readonly declared: string | undefined;
  readonly policy: VetPolicy;
  readonly name: string | undefined;
  /** Bytes of metadata that may be read. */
  readonly readBudget: number;
}

/** What a stream's kept ends are asked for by: they have no descriptor. */
export const KEPT_ENDS = 'kept ends of a stream';

export async function vetHandler(
  params: unknown,
  [device]: readonly BlockDevice[],
  signal: AbortSignal,
  requestFile: RequestFile,
): Promise<Judgement> {
  const { declared, policy, name, readBudget } = params as VetParams;
  const image = device ?? (await requestFile(new Uint8Array(0), KEPT_ENDS));
  return judge(withReadBudget(image, readBudget), { declared, policy, name, signal });
}

/** Throws: bug, WORKER_PROTOCOL. What comes from behind the wall is a stranger's word: it is held to its shape. */
export function checkedJudgement(value: unknown): Judgement {
  const verdicts: readonly unknown[] = ['safe', 'refused', 'ambiguous'];
  const found = value as Partial<Judgement> | null;
  if (
    typeof found === 'object' &&
    found !== null &&
    verdicts.includes(found.verdict) &&
    Array.isArray(found.reasons) &&
    Array.isArray(found.signs)
  )
    return found as Judgement;
  throw new PlimsollError('bug', 'WORKER_PROTOCOL', { doing: 'vet image', found: 'an answer that is no verdict', expected: 'a verdict' });
}
