/** The entry of dist/worker.js, which runs in the jail and nowhere else. */
import { serve } from '#confined';
import { HANDLERS } from './handlers.ts';

await serve(HANDLERS);
