/** Vetting: is a stranger's image safe, and what exactly to do with it next. */
export { conclude } from './conclude.ts';
export { type Judgement, judge, type JudgeOptions } from './judge.ts';
export { DEFAULT_POLICY, parsePolicy, VET_FORMATS, type VetFormat, type VetPolicy } from './policy.ts';
export { vetFile, type VetOptions } from './vet-file.ts';
export { vetStream } from './vet-stream.ts';
export { vet } from './vet.ts';
export { vetMany, type VetManyOptions } from './vet-many.ts';
export type { VetOutcome } from './vet-outcome.ts';
export { type SharingOptions, vetSharing } from './vet-sharing.ts';
