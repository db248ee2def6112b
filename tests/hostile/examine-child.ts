/**
 * Examines one image in a process of its own and prints what it cost: `{ report, milliseconds, peakBytes }`, processor time.
 * Arguments: the path, then JSON options.
 */
import { examineImage } from '#sandbox';

const [path = '', options = '{}'] = process.argv.slice(2);
const began = process.cpuUsage();
const report = await examineImage(path, JSON.parse(options) as Parameters<typeof examineImage>[1]);
const { user, system } = process.cpuUsage(began);
const milliseconds = Math.round((user + system) / 1000);
const peakBytes = process.resourceUsage().maxRSS * 1024;
process.stdout.write(JSON.stringify({ report, milliseconds, peakBytes }));
