/** Requests behind the wall: the client's side, and the table that it may ask for. */
export {
  type ConfinedFile,
  type ConfinedOptions,
  type ConfinedRequest,
  type GrantedFile,
  type OnFileRequest,
  runConfined,
  runUnconfined,
} from './client.ts';
export { type Handler, HANDLERS, type Handlers, type RequestFile } from './handlers.ts';
export { DEFAULT_LIMITS, type Limits } from './limits.ts';
