/** The trust boundary: what reads a stranger's bytes. Inline for now; the confined worker arrives with vetting. */
export {
  type Examined,
  type ExamineOptions,
  examineFile,
  examineImage,
  figures,
  type FiguresOptions,
  type ReadableFormat,
} from './examine.ts';
export { withGuestData } from './guest-data.ts';
export {
  DEFAULT_POLICY,
  parsePolicy,
  VET_FORMATS,
  vetFile,
  type VetFormat,
  type VetOptions,
  type VetPolicy,
  vetStream,
} from './vet/index.ts';
export { examineUse, type ExamineUseOptions, who, type WhoOptions } from './who.ts';
