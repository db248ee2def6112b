/** The entry of dist/worker.js, which runs in the jail and nowhere else. */
import { HANDLERS } from './handlers.ts';
import { serve } from './serve.ts';

await serve(HANDLERS);
