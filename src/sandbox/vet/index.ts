/** Vetting: is a stranger's image safe, and what exactly to do with it next. */
export { type Judgement, judge, type JudgeOptions } from './judge.ts';
export { DEFAULT_POLICY, parsePolicy, VET_FORMATS, type VetFormat, type VetPolicy } from './policy.ts';
export { vetFile, type VetOptions } from './vet-file.ts';
export { vetStream } from './vet-stream.ts';
export { vet } from './vet.ts';
