/** Requests to a confined process: the client's side, the worker's side, and the shapes of answers. */
export {
  type ConfinedFile,
  type ConfinedOptions,
  type ConfinedRequest,
  type GrantedFile,
  type OnFileRequest,
  runConfined,
  runUnconfined,
} from './client.ts';
export { errorInside } from './error-inside.ts';
export { protocolError, reviveError } from './frames.ts';
export { type Handler, handlerOf, type Handlers, type RequestFile, type TellPart } from './handler.ts';
export { DEFAULT_LIMITS, type Limits } from './limits.ts';
export { serve } from './serve.ts';
export { count, dictionary, either, finite, flag, listOf, nothing, object, oneOf, type Shape, text } from './shapes.ts';
