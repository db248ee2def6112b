/**
 * Examines one image in a process of its own and prints its cost: `{ report, readBytes, peakBytes }`.
 * Arguments: the path, then JSON options.
 */
import { examineImage } from '#sandbox';
import { readsSince, readsSoFar } from '../support/read-cost.ts';

const [path = '', options = '{}'] = process.argv.slice(2);
const before = readsSoFar();
const report = await examineImage(path, JSON.parse(options) as Parameters<typeof examineImage>[1]);
const { bytes: readBytes } = readsSince(before);
const peakBytes = process.resourceUsage().maxRSS * 1024;
process.stdout.write(JSON.stringify({ report, readBytes, peakBytes }));
