/** The trust boundary: code that reads untrusted bytes, inline or confined by `runConfined`. */
export {
  type Examined,
  type ExamineOptions,
  examineFile,
  examineImage,
  figures,
  type FiguresOptions,
  type ReadableFormat,
} from './examine.ts';
export { ConfinedExaminer, type ConfinedExaminerOptions } from './confined-examiner.ts';
export type { Examiner } from './examiner.ts';
export { limitExaminationMemory } from './examination-memory.ts';
export type { ExportKind } from './export-kind.ts';
export { mapBytesAtMost } from '#commitment';
export {
  conclude,
  DEFAULT_POLICY,
  parsePolicy,
  type SharingOptions,
  vet,
  VET_FORMATS,
  vetFile,
  type VetFormat,
  vetMany,
  type VetManyOptions,
  type VetOptions,
  type VetOutcome,
  type VetPolicy,
  vetSharing,
  vetStream,
} from './vet/index.ts';
export { examineUse, type ExamineUseOptions, who, type WhoOptions } from './who.ts';
export {
  type ConfinedFile,
  type ConfinedOptions,
  type ConfinedRequest,
  DEFAULT_LIMITS,
  type GrantedFile,
  type Limits,
  type OnFileRequest,
  runConfined,
  runUnconfined,
} from '#confined';
export { openImage, type OpenedDisk, type OpenImageOptions } from './open-image.ts';
export { HANDLERS } from './handlers.ts';
