/**
 * Examines one image in a process of its own and prints what it cost: `{ report, milliseconds, peakBytes }`.
 * Arguments: the path, then JSON options.
 */
import { examineImage } from '#sandbox';

const [path = '', options = '{}'] = process.argv.slice(2);
const began = performance.now();
const report = await examineImage(path, JSON.parse(options) as Parameters<typeof examineImage>[1]);
const milliseconds = Math.round(performance.now() - began);
const peakBytes = process.resourceUsage().maxRSS * 1024;
process.stdout.write(JSON.stringify({ report, milliseconds, peakBytes }));
