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
  type ConfinedFile,
  type ConfinedOptions,
  type ConfinedRequest,
  DEFAULT_LIMITS,
  type GrantedFile,
  type Limits,
  type OnFileRequest,
  runConfined,
} from './worker/index.ts';
