/** Sessions with a confined process: the client's side, the worker's side, and the shapes of answers. */
export { errorInside } from './error-inside.ts';
export { protocolError, reviveError } from './frames.ts';
export {
  type Handler,
  type HandlerContext,
  handlerOf,
  type Handlers,
  type ReceivedFile,
  type RequestFile,
  type SendPart,
} from './handler.ts';
export { DEFAULT_LIMITS, type Limits } from './limits.ts';
export { type ConfinedOptions, runConfined, runUnconfined } from './run.ts';
export { serve } from './serve.ts';
export {
  type ConfinedFile,
  type ConfinedRequest,
  type GrantedFile,
  type OnFileRequest,
  type Outcome,
  PART_CREDIT,
  type RequestOptions,
  type SessionOptions,
  WorkerSession,
} from './session.ts';
export { count, dictionary, either, finite, flag, listOf, nothing, object, oneOf, type Shape, text } from './shapes.ts';
export { ConfinedWorkers, type WorkersOptions } from './workers.ts';
